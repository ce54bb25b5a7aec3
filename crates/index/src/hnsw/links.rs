//! The neighbour lists of one kind of layer: so many places a node, the used ones first.
//!
//! Readers take no lock. A writer holds the node's lock and stores place after place, so a reader may see a list that is half
//! old and half new: each entry is some node, and a search that looks at one node too many or too few is still a search.
//! Narrow lists keep ids in 24 bits, two loads each, and a reader can then see an id made of two halves; ids that are no
//! node's are passed over.

use std::{
    path::Path,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed},
};

use bytemuck::Pod;

use crate::{
    block::Block,
    error::Error,
    file::{Reader, Writer},
    kernel::prefetch,
};

/// Most nodes that narrow lists can name.
pub(crate) const NARROW: usize = (1 << 24) - 1;
/// The mark of an unused place. As a narrow id it is all ones too.
const NONE: u32 = u32::MAX;

/// Lists of neighbours, by node.
#[derive(Debug)]
pub(crate) struct Links {
    degree: usize,
    ids: Ids,
}

#[derive(Debug)]
enum Ids {
    Wide(Cells<u32>),
    Narrow { low: Cells<u16>, high: Cells<u8> },
}

/// Values that threads read while one writes, or that still lie in a file.
#[derive(Debug)]
enum Cells<T: Atom> {
    Live(Vec<T::Atomic>),
    Filed(Block<T>),
}

/// A value with an atomic form.
trait Atom: Pod {
    type Atomic: Send + Sync + std::fmt::Debug;
    fn atomic(self) -> Self::Atomic;
    fn load(from: &Self::Atomic) -> Self;
    fn store(self, to: &Self::Atomic);
}

macro_rules! atom {
    ($plain:ty, $atomic:ty) => {
        impl Atom for $plain {
            type Atomic = $atomic;
            fn atomic(self) -> $atomic {
                <$atomic>::new(self)
            }
            #[inline]
            fn load(from: &$atomic) -> Self {
                from.load(Relaxed)
            }
            #[inline]
            fn store(self, to: &$atomic) {
                to.store(self, Relaxed);
            }
        }
    };
}
atom!(u8, AtomicU8);
atom!(u16, AtomicU16);
atom!(u32, AtomicU32);

// === impl Cells ===

impl<T: Atom> Cells<T> {
    fn len(&self) -> usize {
        match self {
            Self::Live(cells) => cells.len(),
            Self::Filed(block) => block.as_slice().len(),
        }
    }

    fn values(&self) -> Vec<T> {
        match self {
            Self::Live(cells) => cells.iter().map(T::load).collect(),
            Self::Filed(block) => block.as_slice().to_vec(),
        }
    }

    /// The cells to grow or change, copied out of the file first if need be.
    fn live(&mut self) -> &mut Vec<T::Atomic> {
        if let Self::Filed(block) = self {
            *self = Self::Live(block.as_slice().iter().map(|v| v.atomic()).collect());
        }
        match self {
            Self::Live(cells) => cells,
            Self::Filed(_) => unreachable!("replaced above"),
        }
    }

    fn grow(&mut self, by: usize, value: T) {
        self.live().extend(std::iter::repeat_n(value, by).map(T::atomic));
    }

    fn store(&self, at: usize, value: T) {
        match self {
            Self::Live(cells) => value.store(&cells[at]),
            Self::Filed(_) => unreachable!("lists are made live before they are changed"),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Live(cells) => cells.capacity() * size_of::<T>(),
            Self::Filed(block) => block.bytes(),
        }
    }

    fn prefetch(&self, at: usize, count: usize) {
        match self {
            Self::Live(cells) => prefetch(&cells[at..at + count]),
            Self::Filed(block) => prefetch(&block.as_slice()[at..at + count]),
        }
    }
}

// === impl Links ===

impl Links {
    pub(crate) fn new(degree: usize, narrow: bool) -> Self {
        let ids = if narrow {
            Ids::Narrow {
                low: Cells::Live(Vec::new()),
                high: Cells::Live(Vec::new()),
            }
        } else {
            Ids::Wide(Cells::Live(Vec::new()))
        };
        Self { degree, ids }
    }

    /// Most neighbours of a node.
    pub(crate) fn degree(&self) -> usize {
        self.degree
    }

    pub(crate) fn is_narrow(&self) -> bool {
        matches!(self.ids, Ids::Narrow { .. })
    }

    /// Lists there are.
    pub(crate) fn len(&self) -> usize {
        let cells = match &self.ids {
            Ids::Wide(ids) => ids.len(),
            Ids::Narrow { low, .. } => low.len(),
        };
        cells / self.degree
    }

    /// Makes the lists ready to be changed.
    pub(crate) fn thaw(&mut self) {
        match &mut self.ids {
            Ids::Wide(ids) => drop(ids.live()),
            Ids::Narrow { low, high } => {
                low.live();
                high.live();
            }
        }
    }

    pub(crate) fn reserve(&mut self, lists: usize) {
        let cells = lists * self.degree;
        match &mut self.ids {
            Ids::Wide(ids) => ids.live().reserve_exact(cells),
            Ids::Narrow { low, high } => {
                low.live().reserve_exact(cells);
                high.live().reserve_exact(cells);
            }
        }
    }

    /// Appends empty lists.
    pub(crate) fn grow(&mut self, lists: usize) {
        let cells = lists * self.degree;
        match &mut self.ids {
            Ids::Wide(ids) => ids.grow(cells, NONE),
            Ids::Narrow { low, high } => {
                low.grow(cells, u16::MAX);
                high.grow(cells, u8::MAX);
            }
        }
    }

    /// Gives narrow lists the room of wide ones.
    pub(crate) fn widen(&mut self) {
        if let Ids::Narrow { low, high } = &self.ids {
            let wide = low.values().into_iter().zip(high.values());
            let ids = wide.map(|(low, high)| join(low, high).atomic()).collect();
            self.ids = Ids::Wide(Cells::Live(ids));
        }
    }

    /// Calls `visit` with each neighbour below `nodes`.
    #[inline]
    pub(crate) fn each(&self, list: usize, nodes: usize, mut visit: impl FnMut(u32)) {
        let places = list * self.degree..(list + 1) * self.degree;
        let mut take = |id: u32| {
            if (id as usize) < nodes {
                visit(id);
            }
            id != NONE
        };
        match &self.ids {
            Ids::Wide(Cells::Live(ids)) => {
                let _ = ids[places].iter().all(|id| take(u32::load(id)));
            }
            Ids::Wide(Cells::Filed(ids)) => {
                let _ = ids.as_slice()[places].iter().all(|&id| take(id));
            }
            Ids::Narrow {
                low: Cells::Live(low),
                high: Cells::Live(high),
            } => {
                let mut pairs = low[places.clone()].iter().zip(&high[places]);
                let _ = pairs.all(|(low, high)| take(join(u16::load(low), u8::load(high))));
            }
            Ids::Narrow {
                low: Cells::Filed(low),
                high: Cells::Filed(high),
            } => {
                let mut pairs = low.as_slice()[places.clone()]
                    .iter()
                    .zip(&high.as_slice()[places]);
                let _ = pairs.all(|(&low, &high)| take(join(low, high)));
            }
            Ids::Narrow { .. } => unreachable!("both halves are live, or neither"),
        }
    }

    /// The neighbours in a vector of their own.
    pub(crate) fn list(&self, list: usize, nodes: usize) -> Vec<u32> {
        let mut ids = Vec::with_capacity(self.degree);
        self.each(list, nodes, |id| ids.push(id));
        ids
    }

    /// Replaces a list; the caller holds the node's lock. What exceeds the degree is left out.
    pub(crate) fn set(&self, list: usize, neighbours: impl Iterator<Item = u32>) {
        let padded = neighbours.chain(std::iter::repeat(NONE));
        for (at, id) in (list * self.degree..(list + 1) * self.degree).zip(padded) {
            match &self.ids {
                Ids::Wide(ids) => ids.store(at, id),
                Ids::Narrow { low, high } => {
                    low.store(at, id as u16);
                    high.store(at, (id >> 16) as u8);
                }
            }
        }
    }

    /// Fetches a list ahead of its use.
    #[inline]
    pub(crate) fn prefetch(&self, list: usize) {
        let at = list * self.degree;
        match &self.ids {
            Ids::Wide(ids) => ids.prefetch(at, self.degree),
            Ids::Narrow { low, high } => {
                low.prefetch(at, self.degree);
                high.prefetch(at, self.degree);
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.ids {
            Ids::Wide(ids) => ids.bytes(),
            Ids::Narrow { low, high } => low.bytes() + high.bytes(),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match &self.ids {
            Ids::Wide(ids) => writer.section(&ids.values()),
            Ids::Narrow { low, high } => {
                writer.section(&low.values());
                writer.section(&high.values());
            }
        }
    }

    /// Reads lists back, every id of which must be below `nodes`.
    pub(crate) fn read(
        reader: &mut Reader,
        path: &Path,
        shape: (usize, bool),
        lists: usize,
        nodes: usize,
    ) -> Result<Self, Error> {
        let (degree, narrow) = shape;
        let cells = lists
            .checked_mul(degree)
            .ok_or_else(|| Error::corrupt(path, "too many links"))?;
        let ids = if narrow {
            Ids::Narrow {
                low: Cells::Filed(reader.section("links", cells)?),
                high: Cells::Filed(reader.section("links", cells)?),
            }
        } else {
            Ids::Wide(Cells::Filed(reader.section("links", cells)?))
        };
        let links = Self { degree, ids };
        let stray = |id: u32| id != NONE && id as usize >= nodes;
        for list in 0..lists {
            let mut found = None;
            links.each(list, usize::MAX, |id| found = found.or(stray(id).then_some(id)));
            if let Some(id) = found {
                return Err(Error::corrupt(
                    path,
                    format!("list {list} leads to node {id} of {nodes}"),
                ));
            }
        }
        Ok(links)
    }
}

#[inline]
fn join(low: u16, high: u8) -> u32 {
    let id = u32::from(high) << 16 | u32::from(low);
    if id as usize == NARROW { NONE } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_in_either_form() {
        for narrow in [false, true] {
            let mut links = Links::new(3, narrow);
            links.grow(2);
            assert_eq!(links.len(), 2);
            links.set(1, [70_000, 5].into_iter());
            assert_eq!(links.list(1, 100_000), [70_000, 5]);
            assert_eq!(links.list(1, 70_000), [5]);
            assert!(links.list(0, 100_000).is_empty());
            links.set(1, [1, 2, 3, 4].into_iter());
            assert_eq!(links.list(1, 9), [1, 2, 3]);
            links.widen();
            assert_eq!(links.list(1, 9), [1, 2, 3]);
            assert!(!links.is_narrow());
        }
    }
}
