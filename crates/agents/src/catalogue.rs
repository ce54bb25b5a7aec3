//! Catalogues: skills, tools and agents read from wherever they are described, and found again.
//!
//! [`Sources`] reads files and folders in all their forms and tells what is wrong with some as [`Problem`]s; [`Index`] finds
//! entries by words and by meaning and follows the sources one change at a time; [`families`] are entries that say the same;
//! [`export_name`] is the name under which one is offered to others.
//!
//! All of it is a stranger's text. It is cut at documented [`limits`], compared and never followed, and shown through
//! [`shown`] alone.

mod content;
mod duplicates;
mod endpoint;
mod export;
mod index;
pub mod limits;
mod problem;
mod reading;
mod shown;
mod sources;

pub use self::{
    content::ContentHash,
    duplicates::{Family, Nearness, Reason, families},
    endpoint::Endpoint,
    export::export_name,
    index::{Candidates, Changes, Error, Field, Found, Index, Opened, Progress, Search, Stage},
    problem::{Address, Fault, Problem, SameId},
    reading::{Place, Reading},
    shown::{Shown, shown},
    sources::{Sources, read_all},
};
