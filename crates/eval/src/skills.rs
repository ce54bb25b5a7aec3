//! How well skills, tools and agents are found.
//!
//! [`Folder`] reads catalogues with labelled requests in several forms; [`Plan`] says what is measured; [`judge`] trains and scores
//! the methods and gives a [`Report`]. Requests that are scored are never trained on: those of another file or part, or those of a
//! fold, by a hash of their text.

mod folder;
mod judge;
mod ranking;
mod report;
mod tier;
mod vectors;

pub use folder::{Folder, FolderError, Labelled};
pub use judge::{Encoding, Plan, judge};
pub use ranking::{Scores, Tally, auroc};
pub use report::{Report, Row};
pub use tier::{Cut, hard_tier};
pub use vectors::VectorFile;
