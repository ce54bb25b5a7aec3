//! The paths of a walk: found, passed along, given up.

use fingerpost_core::Name;

use super::{
    path::{Found, Path, Terrain},
    question::Cause,
    walk::{Leg, LegState, Phase},
    walker::{OUT, RUN, Walker},
};

// === impl Walker ===

impl<'a, 'c> Walker<'a, 'c> {
    /// Goes past what needs no call.
    pub(super) fn pass(&mut self, leg: usize) {
        let graph = self.graph();
        let marks = &self.marks;
        let leg = &mut self.walk.legs[leg];
        if leg.state != LegState::Open {
            return;
        }
        let done = leg
            .path
            .iter()
            .take_while(|n| marks[**n as usize] & RUN != 0 || graph.node(**n).tool.is_none());
        let done = done.count();
        for node in leg.path.drain(..done) {
            leg.at = node;
            if graph
                .node(node)
                .tool
                .as_ref()
                .is_some_and(|t| t.effect != super::Effect::None)
            {
                leg.anchor = node;
            }
        }
        if leg.path.is_empty() {
            leg.state = LegState::Done;
        }
    }

    /// A leg comes to nothing. Where the walk can do without it, it is lost; else why it cannot.
    pub(super) fn give_up(&mut self, leg: usize) -> Option<Cause> {
        let lost = &mut self.walk.legs[leg];
        lost.state = LegState::Lost;
        lost.path.clear();
        if self.walk.phase != Phase::Branches {
            return Some(Cause::NoPath);
        }
        let quorum = self.graph().fan.as_ref().map_or(0, |fan| fan.quorum);
        let left = self
            .walk
            .legs
            .iter()
            .filter(|leg| leg.state != LegState::Lost)
            .count();
        (self.walk.legs[leg].required || left < quorum).then_some(Cause::Quorum)
    }

    /// Finds the path of a leg from where it stands, or from where it may go back to. Gives its weight.
    pub(super) fn seek(&mut self, leg: usize) -> Result<f64, &'static str> {
        let Leg { at, anchor, goal, .. } = self.walk.legs[leg];
        let mut found = self.path(at, goal);
        let mut from = at;
        if !matches!(found, Found::Path(_)) && anchor != at {
            found = self.path(anchor, goal);
            from = anchor;
        }
        match found {
            Found::Path(Path { nodes, cost }) => {
                let leg = &mut self.walk.legs[leg];
                (leg.at, leg.path) = (from, nodes);
                Ok(cost)
            }
            Found::None => Err("no other way is left"),
            Found::GaveUp => {
                Err("no other way was found among as many states as are looked at (`max_states`)")
            }
        }
    }

    pub(super) fn path(&self, from: u32, goal: u32) -> Found {
        let factor = |node: u32| match self.marks[node as usize] {
            mark if mark & RUN != 0 => 0.0,
            mark if mark & OUT != 0 => f64::INFINITY,
            _ => {
                let tries = self
                    .walk
                    .tries
                    .iter()
                    .find(|(n, _)| *n == node)
                    .map_or(0, |(_, failed)| *failed);
                self.router.factor(node, &self.soft, self.cx.now) * f64::from(1 + tries)
            }
        };
        let behind = |node: u32| self.marks[node as usize] & RUN != 0;
        let terrain = Terrain {
            graph: self.graph(),
            factor: &factor,
            behind: &behind,
        };
        terrain.path(from, self.walk.facts, goal)
    }

    /// A walk along one line to another goal, from where it stands.
    pub(super) fn turn_to(&mut self, goal: u32) -> Result<f64, &'static str> {
        let (at, anchor) = self.base();
        self.walk.goal = goal;
        self.walk.demoted = true;
        self.walk.phase = Phase::Line;
        self.walk.legs = vec![Leg::new(at, anchor, goal, true)];
        self.seek(0)
    }

    /// Where a walk to another goal begins, and where it may go back to.
    pub(super) fn base(&self) -> (u32, u32) {
        match (&self.graph().fan, self.walk.phase) {
            (Some(fan), Phase::Branches) => (fan.from, fan.from),
            _ => self
                .walk
                .legs
                .first()
                .map_or((self.graph().start, self.graph().start), |leg| {
                    (leg.at, leg.anchor)
                }),
        }
    }

    pub(super) fn new_path(&self) -> Vec<Name> {
        self.walk
            .legs
            .first()
            .map(|leg| self.names(&leg.path))
            .unwrap_or_default()
    }
}
