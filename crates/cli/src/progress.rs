//! The one progress bar: on standard error, and only where that is a terminal.

use std::{borrow::Cow, io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar, or nothing where nobody looks.
pub(crate) struct Bar(ProgressBar);

// === impl Bar ===

impl Bar {
    /// A bar that counts bytes.
    pub(crate) fn of_bytes() -> Self {
        Self::with("{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}")
    }

    /// A bar that counts things.
    pub(crate) fn of_items() -> Self {
        Self::with("{msg} {wide_bar} {pos}/{len} {eta}")
    }

    fn with(template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Whether somebody sees it.
    pub(crate) fn is_seen() -> bool {
        std::io::stderr().is_terminal()
    }

    /// What is being done, and how far.
    pub(crate) fn set(&self, what: impl Into<Cow<'static, str>>, done: u64, total: u64) {
        self.0.set_message(what);
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// A line above the bar, also where there is no bar to see.
    pub(crate) fn say(&self, line: &str) {
        if Self::is_seen() {
            self.0.println(line);
        } else {
            eprintln!("{line}");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
