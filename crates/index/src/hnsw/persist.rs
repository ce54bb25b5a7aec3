//! The index as a file.

use std::{
    path::Path,
    sync::{Mutex, RwLock},
};

use serde::{Deserialize, Serialize};

use super::{
    Hnsw, Options, State,
    graph::{Entry, Graph},
    links::Links,
    repair,
};
use crate::{error::Error, file, items::Items, rows::Rows};

#[derive(Serialize, Deserialize)]
struct Header {
    options: Options,
    dimension: usize,
    count: usize,
    listed: bool,
    narrow: bool,
    /// Nodes above the lowest layer, and their lists.
    uppers: usize,
    upper_lists: usize,
    entry: Option<(u32, u8)>,
}

// === impl Hnsw ===

impl Hnsw {
    /// Saves it. The file is the old one or the new one, whatever happens meanwhile; dead slots are linked around first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        {
            let mut state = self.write();
            if state.items.live() + state.free.len() < state.items.slots() {
                state.graph.thaw();
                state.consolidate(&self.options);
            }
        }
        let state = self.read();
        let header = Header {
            options: self.options.clone(),
            dimension: state.rows.dim(),
            count: state.items.slots(),
            listed: state.items.are_listed(),
            narrow: state.graph.base.is_narrow(),
            uppers: state.graph.upper_at.as_slice().len(),
            upper_lists: state.graph.upper.len(),
            entry: state.graph.entry().map(|e| (e.slot, e.level)),
        };
        file::save(path, &header, |writer| {
            state.rows.write(writer);
            writer.section(state.graph.levels.as_slice());
            writer.section(state.graph.upper_slots.as_slice());
            writer.section(state.graph.upper_at.as_slice());
            state.graph.base.write(writer);
            state.graph.upper.write(writer);
            state.items.write(writer);
        })
    }

    /// Opens a saved index by memory map. Every checksum and every link is checked, which reads the file once; afterwards its
    /// pages are the system's to keep or drop. The first change copies links and ids into memory; the file stays as it is.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`] with what does not fit.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (header, mut reader) = file::open::<Header>(path)?;
        header
            .options
            .check(header.dimension)
            .map_err(|e| Error::corrupt(path, e.to_string()))?;
        let (options, count) = (header.options, header.count);
        if count > super::MOST {
            return Err(Error::corrupt(path, "too many vectors"));
        }
        let shape = (options.metric, header.dimension, options.precision);
        let rows = Rows::read(&mut reader, path, shape, count)?;
        let levels = reader.section("levels", count)?;
        let uppers = (
            reader.section("levels", header.uppers)?,
            reader.section("levels", header.uppers)?,
        );
        let base = Links::read(&mut reader, path, (2 * options.m, header.narrow), count, count)?;
        let upper = Links::read(&mut reader, path, (options.m, false), header.upper_lists, count)?;
        let items = Items::read(&mut reader, path, count, header.listed)?;
        reader.finish()?;
        let graph = Graph::of(base, upper, levels, uppers);
        if !repair::uppers_fit(&graph) || !graph.links_fit() {
            return Err(Error::corrupt(path, "its layers do not fit together"));
        }
        let entry = header.entry.map(|(slot, level)| Entry { slot, level });
        let fits = match entry {
            Some(entry) => {
                (entry.slot as usize) < count
                    && items.is_live(entry.slot)
                    && graph.level(entry.slot) == entry.level
            }
            None => items.live() == 0,
        };
        if !fits {
            return Err(Error::corrupt(path, "its entry point is no vector of it"));
        }
        graph.set_entry(entry);
        let free = (0..count as u32).filter(|&s| !items.is_live(s)).collect();
        let state = State {
            rows,
            graph,
            items,
            free,
            unproven: 0,
        };
        Ok(Self {
            options,
            state: RwLock::new(state),
            scratches: Mutex::default(),
        })
    }
}
