//! Items to trees.
//!
//! [`communities`] finds nested communities in a graph, [`summary`] stores a graph without loss in fewer edges over nested
//! supernodes, [`taxonomy`] orders texts under named, nested categories. [`Graph`] and its readers, trees of merges
//! ([`Dendrogram`]), linkage and [`agreement`] with the truth serve them all.

mod agreement;
pub mod communities;
mod dendrogram;
mod drawing;
mod graph;
mod kmeans;
mod linkage;
pub mod summary;
pub mod taxonomy;

pub use agreement::{Agreement, agreement, dendrogram_purity};
pub use dendrogram::{Dendrogram, Merge};
pub use graph::{Dropped, Graph, GraphError, Ids};
pub use kmeans::{Effort, k_means};
pub use linkage::{Criterion, average_linkage, vector_linkage, vector_tree};
