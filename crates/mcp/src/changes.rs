//! What servers offer, by kind, and how often each kind has changed.

/// A kind of what servers offer, of which they tell when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tools,
    /// Resources, and templates of their URIs.
    Resources,
    Prompts,
}

/// Counts the changes of what all servers offer together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) tools: u64,
    pub(crate) resources: u64,
    pub(crate) prompts: u64,
}

// === impl Kind ===

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Tools, Self::Resources, Self::Prompts];
}

// === impl Changes ===

impl Changes {
    /// One more change of this kind.
    pub(crate) fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Tools => self.tools += 1,
            Kind::Resources => self.resources += 1,
            Kind::Prompts => self.prompts += 1,
        }
    }

    /// The kinds that have changed since.
    pub(crate) fn since(self, then: Self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| self.of(*kind) != then.of(*kind))
    }

    fn of(self, kind: Kind) -> u64 {
        match kind {
            Kind::Tools => self.tools,
            Kind::Resources => self.resources,
            Kind::Prompts => self.prompts,
        }
    }
}
