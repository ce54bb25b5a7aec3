//! Which id sits in which slot. Ids that count 0, 1, 2 ... as the slots do take no memory.

use std::path::Path;

use rustc_hash::FxHashMap;

use crate::{
    block::Block,
    error::Error,
    file::{Reader, Writer},
};

/// Ids by slot and back.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// `None` while id and slot agree.
    ids: Option<Block<u64>>,
    /// Made when first needed; holds live ids only.
    slots: Option<FxHashMap<u64, u32>>,
    /// One bit a slot: removed, or free.
    dead: Vec<u64>,
    count: usize,
    live: usize,
}

// === impl Items ===

impl Items {
    /// Slots, live and dead.
    pub(crate) fn slots(&self) -> usize {
        self.count
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    #[inline]
    pub(crate) fn is_live(&self, slot: u32) -> bool {
        self.dead
            .get(slot as usize / 64)
            .is_none_or(|word| word >> (slot % 64) & 1 == 0)
    }

    pub(crate) fn all_live(&self) -> bool {
        self.live == self.count
    }

    pub(crate) fn live_slots(&self) -> impl Iterator<Item = u32> {
        (0..self.count as u32).filter(|&slot| self.is_live(slot))
    }

    #[inline]
    pub(crate) fn id(&self, slot: u32) -> u64 {
        match &self.ids {
            Some(ids) => ids.as_slice()[slot as usize],
            None => u64::from(slot),
        }
    }

    /// The live slot of an id.
    pub(crate) fn slot(&mut self, id: u64) -> Option<u32> {
        if self.ids.is_none() {
            let slot = u32::try_from(id).ok().filter(|&s| (s as usize) < self.count)?;
            return self.is_live(slot).then_some(slot);
        }
        self.map().get(&id).copied()
    }

    fn map(&mut self) -> &mut FxHashMap<u64, u32> {
        if self.slots.is_none() {
            let map = self.live_slots().map(|slot| (self.id(slot), slot)).collect();
            self.slots = Some(map);
        }
        self.slots.get_or_insert_default()
    }

    fn listed(&mut self) -> &mut Block<u64> {
        let count = self.count as u64;
        self.ids.get_or_insert_with(|| Block::Owned((0..count).collect()))
    }

    /// Gives the id the next slot.
    pub(crate) fn push(&mut self, id: u64) -> u32 {
        let slot = self.count as u32;
        if self.ids.is_some() || id != u64::from(slot) {
            self.listed().to_mut().push(id);
            self.map().insert(id, slot);
        }
        self.count += 1;
        self.live += 1;
        slot
    }

    /// Gives the id a free slot.
    pub(crate) fn reuse(&mut self, slot: u32, id: u64) {
        if self.ids.is_some() || id != u64::from(slot) {
            self.listed().to_mut()[slot as usize] = id;
            self.map().insert(id, slot);
        }
        self.dead[slot as usize / 64] &= !(1 << (slot % 64));
        self.live += 1;
    }

    /// Marks the slot dead.
    pub(crate) fn bury(&mut self, slot: u32) {
        let id = self.id(slot);
        if let Some(slots) = &mut self.slots {
            slots.remove(&id);
        }
        let word = slot as usize / 64;
        if self.dead.len() <= word {
            self.dead.resize(word + 1, 0);
        }
        self.dead[word] |= 1 << (slot % 64);
        self.live -= 1;
    }

    pub(crate) fn bytes(&self) -> usize {
        let map = self
            .slots
            .as_ref()
            .map_or(0, |s| s.capacity() * (size_of::<(u64, u32)>() + 1));
        self.ids.as_ref().map_or(0, Block::bytes) + map + self.dead.len() * 8
    }

    pub(crate) fn are_listed(&self) -> bool {
        self.ids.is_some()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let mut dead = self.dead.clone();
        dead.resize(self.count.div_ceil(64), 0);
        writer.section(&dead);
        if let Some(ids) = &self.ids {
            writer.section(ids.as_slice());
        }
    }

    pub(crate) fn read(reader: &mut Reader, path: &Path, count: usize, listed: bool) -> Result<Self, Error> {
        let dead: Block<u64> = reader.section("tombstones", count.div_ceil(64))?;
        let dead = dead.as_slice().to_vec();
        if let Some(last) = dead.last().filter(|_| !count.is_multiple_of(64))
            && last >> (count % 64) != 0
        {
            return Err(Error::corrupt(path, "a tombstone stands behind the last vector"));
        }
        let buried: u32 = dead.iter().map(|word| word.count_ones()).sum();
        let ids = listed.then(|| reader.section("ids", count)).transpose()?;
        let mut items = Self {
            ids,
            slots: None,
            dead,
            count,
            live: count - buried as usize,
        };
        if listed && items.map().len() != items.live {
            return Err(Error::corrupt(path, "an id is there twice"));
        }
        items.slots = None;
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_count_up_take_no_memory() {
        let mut items = Items::default();
        for id in 0..100 {
            assert_eq!(items.push(id), id as u32);
        }
        assert_eq!(items.bytes(), 0);
        assert_eq!((items.slot(99), items.slot(100)), (Some(99), None));
        items.bury(7);
        assert_eq!((items.slot(7), items.live()), (None, 99));
        items.reuse(7, 1000);
        assert_eq!(
            (items.slot(7), items.slot(1000), items.id(7)),
            (None, Some(7), 1000)
        );
        assert_eq!(items.slot(8), Some(8));
        assert!(items.all_live());
    }
}
