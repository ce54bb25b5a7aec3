//! Categories of agents, and the nearest of them to a query.

use std::collections::BTreeMap;

use fingerpost_core::Name;
use fingerpost_encode::{dot, normalize};
use fingerpost_hierarchy::{Effort, k_means, vector_tree};
use rand::{SeedableRng, rngs::SmallRng};
use thiserror::Error;

/// How categories are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CategoryOptions {
    /// Clusters that agents without a domain are put in, at most; at least 1.
    pub clusters: usize,
    /// Middles of its parts that a category is compared by beside its own (a category of unlike agents is found by each part).
    pub parts: usize,
}

/// A tree of two levels over agents, who are numbered from 0.
#[derive(Debug, Clone)]
pub struct Categories {
    names: Vec<Name>,
    agents: Vec<Vec<u32>>,
    faces: Vec<Vec<f32>>,
    of: Vec<usize>,
    dimension: usize,
}

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CategoryError {
    /// Not one vector an agent.
    #[error("{values} values are not one vector of equal length for each of {agents} agents")]
    Shape {
        /// Values given.
        values: usize,
        /// Agents given.
        agents: usize,
    },
    /// A value that is no number.
    #[error("the vector of agent {0} holds a value that is not finite")]
    NotFinite(usize),
}

impl Default for CategoryOptions {
    fn default() -> Self {
        Self {
            clusters: 10,
            parts: 5,
        }
    }
}

// === impl Categories ===

impl Categories {
    /// Categories of agents with a vector each (row after row) and the domains they are known to belong to. The same input gives
    /// the same categories. Cost: agents^2 x dimension.
    ///
    /// # Errors
    /// [`CategoryError`].
    pub fn new(
        domains: &[Option<Name>],
        vectors: &[f32],
        options: &CategoryOptions,
    ) -> Result<Self, CategoryError> {
        let agents = domains.len();
        let dimension = vectors.len() / agents.max(1);
        if vectors.len() != dimension * agents || (dimension == 0 && agents > 0) {
            return Err(CategoryError::Shape {
                values: vectors.len(),
                agents,
            });
        }
        let mut unit = vectors.to_vec();
        for (agent, row) in unit.chunks_mut(dimension.max(1)).enumerate() {
            if row.iter().any(|v| !v.is_finite()) {
                return Err(CategoryError::NotFinite(agent));
            }
            normalize(row);
        }
        let row = |agent: u32| &unit[agent as usize * dimension..][..dimension];
        let mut members: BTreeMap<Name, Vec<u32>> = BTreeMap::new();
        let mut free = Vec::new();
        for (agent, domain) in domains.iter().enumerate() {
            match domain {
                Some(domain) => members.entry(domain.clone()).or_default().push(agent as u32),
                None => free.push(agent as u32),
            }
        }
        let rows: Vec<f32> = free.iter().flat_map(|&agent| row(agent)).copied().collect();
        let groups = vector_tree(&rows, dimension).cut(options.clusters.max(1));
        for (agent, group) in free.iter().zip(groups) {
            let mut name = format!("cluster {}", group + 1);
            // A given domain may have taken the name.
            while domains.iter().flatten().any(|domain| *domain == name.as_str()) {
                name.push('\'');
            }
            members.entry(name.as_str().into()).or_default().push(*agent);
        }
        let mut made = Self {
            names: Vec::new(),
            agents: Vec::new(),
            faces: Vec::new(),
            of: vec![0; agents],
            dimension,
        };
        for (name, own) in members {
            let rows: Vec<f32> = own.iter().flat_map(|&agent| row(agent)).copied().collect();
            for &agent in &own {
                made.of[agent as usize] = made.names.len();
            }
            made.names.push(name);
            made.faces.push(faces(&rows, dimension, options.parts));
            made.agents.push(own);
        }
        Ok(made)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of a category; empty for one that is not there.
    pub fn name(&self, category: usize) -> Name {
        self.names.get(category).cloned().unwrap_or_else(|| "".into())
    }

    /// The category of an agent.
    pub fn of(&self, agent: u32) -> Option<usize> {
        self.of.get(agent as usize).copied()
    }

    /// The agents of a category.
    pub fn agents(&self, category: usize) -> &[u32] {
        self.agents.get(category).map_or(&[], Vec::as_slice)
    }

    /// Vectors that a query is compared with, of all categories together.
    pub fn faces(&self) -> usize {
        self.faces.iter().map(|f| f.len() / self.dimension.max(1)).sum()
    }

    /// The `k` nearest categories to a query (a unit vector), nearest first, with the highest cosine to a face; ties by name.
    pub fn nearest(&self, query: &[f32], k: usize) -> Vec<(usize, f32)> {
        let near = |faces: &Vec<f32>| {
            let faces = faces.chunks(self.dimension.max(1));
            faces
                .map(|face| dot(query, face))
                .fold(f32::NEG_INFINITY, f32::max)
        };
        let mut all: Vec<(usize, f32)> = self.faces.iter().map(near).enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(k);
        all
    }
}

/// The mean direction of rows, and those of their parts.
fn faces(rows: &[f32], dimension: usize, parts: usize) -> Vec<f32> {
    let middle = |rows: &[&[f32]]| {
        let mut sum = vec![0.0; dimension];
        for row in rows {
            sum.iter_mut()
                .zip(*row)
                .for_each(|(total, value)| *total += value);
        }
        normalize(&mut sum);
        sum
    };
    let all: Vec<&[f32]> = rows.chunks(dimension.max(1)).collect();
    let mut faces = middle(&all);
    if parts > 1 {
        let effort = Effort {
            starts: 5,
            rounds: 50,
        };
        let mut rng = SmallRng::seed_from_u64(all.len() as u64);
        let groups = k_means(rows, dimension, parts, effort, &mut rng, &mut || true).unwrap_or_default();
        for part in 0..groups.iter().max().map_or(0, |most| most + 1) {
            let own = all.iter().zip(&groups).filter(|(_, group)| **group == part);
            faces.extend(middle(&own.map(|(row, _)| *row).collect::<Vec<_>>()));
        }
    }
    faces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_that_are_given_and_clusters_of_the_rest() {
        let domains = [Some("bank".into()), None, Some("bank".into()), None, None];
        let vectors = [1.0, 0.0, 0.0, 1.0, 0.8, 0.6, 0.0, 0.9, -1.0, 0.0];
        let options = CategoryOptions {
            clusters: 2,
            parts: 2,
        };
        let categories = Categories::new(&domains, &vectors, &options).unwrap();
        assert_eq!(categories.len(), 3);
        assert_eq!(
            (categories.name(0).as_str(), categories.agents(0)),
            ("bank", &[0, 2][..])
        );
        assert_eq!(
            (categories.agents(1), categories.agents(2)),
            (&[1, 3][..], &[4][..])
        );
        // A part of `bank` is nearer than its middle.
        let nearest = categories.nearest(&[0.8, 0.6], 2);
        assert!(nearest[0].0 == 0 && (nearest[0].1 - 1.0).abs() < 1e-6 && nearest.len() == 2);
        assert_eq!((categories.of(4), categories.of(9)), (Some(2), None));
        assert_eq!(categories.faces(), 3 + 2 + 2);
    }

    #[test]
    fn what_does_not_fit() {
        let options = CategoryOptions::default();
        assert!(Categories::new(&[], &[], &options).unwrap().is_empty());
        let error = Categories::new(&[None, None], &[1.0], &options)
            .unwrap_err()
            .to_string();
        assert!(error.contains("2 agents"), "{error}");
        assert!(Categories::new(&[None], &[f32::NAN], &options).is_err());
    }
}
