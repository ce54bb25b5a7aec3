//! A summary in the making: supernodes that can be taken out, edges that can be changed.

/// No parent.
pub(super) const NONE: u32 = u32::MAX;

/// A forest of supernodes with signed edges. Nodes come first, then supernodes in the order they were made.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) nodes: usize,
    pub(super) parents: Vec<u32>,
    pub(super) children: Vec<Vec<u32>>,
    /// By supernode: the other end and the sign, ascending; a loop once. Filled by `connect`.
    pub(super) edges: Vec<Vec<(u32, i8)>>,
    /// Until `connect`.
    loose: Vec<(u32, u32, i8)>,
}

// === impl Draft ===

impl Draft {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            parents: vec![NONE; nodes],
            children: vec![Vec::new(); nodes],
            edges: Vec::new(),
            loose: Vec::new(),
        }
    }

    pub(super) fn add_parent(&mut self, a: u32, b: u32) -> u32 {
        self.add_parent_of(vec![a, b])
    }

    pub(super) fn add_parent_of(&mut self, children: Vec<u32>) -> u32 {
        let id = self.parents.len() as u32;
        for &child in &children {
            self.parents[child as usize] = id;
        }
        self.parents.push(NONE);
        self.children.push(children);
        id
    }

    /// Adds an edge, to be placed by [`connect`](Self::connect).
    pub(super) fn add_edge(&mut self, a: u32, b: u32, sign: i8) {
        if sign != 0 {
            self.loose.push((a, b, sign));
        }
    }

    /// Places the edges that were added.
    pub(super) fn connect(&mut self) {
        let mut counts = vec![0_u32; self.parents.len()];
        for &(a, b, _) in &self.loose {
            counts[a as usize] += 1;
            counts[b as usize] += 1;
        }
        self.edges = counts
            .iter()
            .map(|&count| Vec::with_capacity(count as usize))
            .collect();
        for (a, b, sign) in std::mem::take(&mut self.loose) {
            self.edges[a as usize].push((b, sign));
            if a != b {
                self.edges[b as usize].push((a, sign));
            }
        }
        for edges in &mut self.edges {
            edges.sort_unstable();
        }
    }

    /// The sign of an edge, 0 if there is none.
    pub(super) fn sign(&self, a: u32, b: u32) -> i8 {
        let edges = &self.edges[a as usize];
        edges
            .binary_search_by_key(&b, |e| e.0)
            .map_or(0, |at| edges[at].1)
    }

    /// Sets the sign of an edge; 0 takes it out.
    pub(super) fn set_sign(&mut self, a: u32, b: u32, sign: i8) {
        for (from, to) in [(a, b), (b, a)] {
            let edges = &mut self.edges[from as usize];
            match (edges.binary_search_by_key(&to, |e| e.0), sign) {
                (Ok(at), 0) => drop(edges.remove(at)),
                (Ok(at), _) => edges[at].1 = sign,
                (Err(_), 0) => {}
                (Err(at), _) => edges.insert(at, (to, sign)),
            }
        }
    }

    /// Links to parents and edges.
    pub(super) fn cost(&self) -> usize {
        let links = self.parents.iter().filter(|&&parent| parent != NONE).count();
        let edges = (0_u32..).zip(&self.edges);
        links
            + edges
                .map(|(id, edges)| edges.len() - edges.partition_point(|e| e.0 < id))
                .sum::<usize>()
    }

    pub(super) fn is_leaf(&self, id: u32) -> bool {
        (id as usize) < self.nodes
    }

    /// Whether `above` is a proper ancestor.
    pub(super) fn is_above(&self, above: u32, id: u32) -> bool {
        let mut at = self.parents[id as usize];
        while at != NONE {
            if at == above {
                return true;
            }
            at = self.parents[at as usize];
        }
        false
    }

    /// Takes a supernode out: its children move to its parent, or become roots. It must have no edges left.
    pub(super) fn remove(&mut self, id: u32) {
        let children = std::mem::take(&mut self.children[id as usize]);
        let parent = std::mem::replace(&mut self.parents[id as usize], NONE);
        for &child in &children {
            self.parents[child as usize] = parent;
        }
        if parent != NONE {
            let siblings = &mut self.children[parent as usize];
            siblings.retain(|&c| c != id);
            siblings.extend(children);
        }
    }
}
