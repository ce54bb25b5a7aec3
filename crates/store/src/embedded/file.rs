//! The file: its tables, its format, one commit.
//!
//! Each kind of record has a table by id and one by age; the latter is what retention walks along. Traces are JSON, so that
//! a later version can read them field by field.

use std::{
    fmt, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use fingerpost_core::{Stage, Timestamp, TraceId};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    TableError, WriteTransaction,
};

use super::batch::Batch;
use crate::{ResponseRecord, Retention, StoreError, TraceRecord};

/// The format that this version writes. Raise it with every change that an earlier version would misread, and teach
/// [`File::open`] to bring an earlier file forward.
const FORMAT: u32 = 1;

/// Up to this size a file's checksums are all verified when it is opened; beyond it that would delay the start, and damage
/// is found where it is met.
const VERIFIED: u64 = 16 << 20;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const TRACES: TableDefinition<'_, u128, (u64, &[u8])> = TableDefinition::new("traces");
const TRACES_BY_AGE: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("traces by age");
/// Time, owner, parent, body.
type ResponseRow = (u64, Option<&'static str>, Option<&'static str>, &'static [u8]);
const RESPONSES: TableDefinition<'_, &str, ResponseRow> = TableDefinition::new("responses");
const RESPONSES_BY_AGE: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("responses by age");
const CLAIMS: TableDefinition<'_, (u128, u8), u64> = TableDefinition::new("claims");
const CLAIMS_BY_AGE: TableDefinition<'_, (u64, u128, u8), ()> = TableDefinition::new("claims by age");
const STATES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("states");

/// The opened file.
pub(super) struct File {
    path: PathBuf,
    database: Database,
}

// === impl File ===

impl File {
    pub(super) fn open(path: PathBuf, cache: usize) -> Result<Self, StoreError> {
        let size = fs::metadata(&path).map_or(0, |m| m.len());
        let database = guard(&path, || {
            let mut builder = Database::builder();
            builder
                .set_cache_size(cache)
                .set_check_integrity_on_open(size <= VERIFIED);
            Ok(builder.create(&path)?)
        })?;
        let file = Self { path, database };
        match file.read(|tx| {
            Ok(table(tx.open_table(META))?
                .map(|t| t.get("format"))
                .transpose()?
                .flatten()
                .map(|v| v.value()))
        })? {
            None => file.write(|tx| {
                tx.open_table(META)?.insert("format", u64::from(FORMAT))?;
                Ok(())
            })?,
            Some(found) if found == u64::from(FORMAT) => {}
            Some(found) => {
                let found = u32::try_from(found).unwrap_or(u32::MAX);
                return Err(StoreError::Newer {
                    path: file.path,
                    found,
                    supported: FORMAT,
                });
            }
        }
        Ok(file)
    }

    /// The newest time that the file knows.
    pub(super) fn newest(&self) -> Result<Timestamp, StoreError> {
        let micros = self.read(|tx| {
            Ok(match table(tx.open_table(META))? {
                Some(meta) => meta.get("newest")?.map_or(0, |v| v.value()),
                None => 0,
            })
        })?;
        Ok(Timestamp::from_micros(micros))
    }

    pub(super) fn trace(&self, id: TraceId) -> Result<Option<TraceRecord>, StoreError> {
        let bytes = self.read(|tx| {
            let Some(traces) = table(tx.open_table(TRACES))? else {
                return Ok(None);
            };
            Ok(traces.get(id.0)?.map(|row| row.value().1.to_vec()))
        })?;
        let parse = |bytes: Vec<u8>| serde_json::from_slice(&bytes);
        bytes
            .map(parse)
            .transpose()
            .map_err(|e| StoreError::corrupt(&self.path, &format!("trace {id}: {e}")))
    }

    pub(super) fn response(&self, id: &str) -> Result<Option<ResponseRecord>, StoreError> {
        self.read(|tx| {
            let Some(responses) = table(tx.open_table(RESPONSES))? else {
                return Ok(None);
            };
            Ok(responses.get(id)?.map(|row| {
                let (at, owner, parent, body) = row.value();
                ResponseRecord {
                    id: id.into(),
                    parent: parent.map(Into::into),
                    owner: owner.map(Into::into),
                    at: Timestamp::from_micros(at),
                    body: body.to_vec(),
                }
            }))
        })
    }

    pub(super) fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|tx| {
            let Some(states) = table(tx.open_table(STATES))? else {
                return Ok(None);
            };
            Ok(states.get(name)?.map(|row| row.value().to_vec()))
        })
    }

    pub(super) fn is_claimed(&self, trace: TraceId, stage: Stage) -> Result<bool, StoreError> {
        self.read(|tx| {
            let Some(claims) = table(tx.open_table(CLAIMS))? else {
                return Ok(false);
            };
            Ok(claims.get((trace.0, code(stage)))?.is_some())
        })
    }

    /// Commits a batch and removes what is past its retention, in one transaction that is on disk when this returns.
    pub(super) fn commit(&self, batch: &Batch, retention: &Retention) -> Result<(), StoreError> {
        self.write(|tx| {
            put_traces(tx, batch)?;
            put_responses(tx, batch)?;
            put_claims(tx, batch)?;
            let mut states = tx.open_table(STATES)?;
            for (name, state) in &batch.states {
                states.insert(name.as_str(), &**state)?;
            }
            tx.open_table(META)?.insert("newest", batch.newest.micros())?;
            prune(tx, batch.newest, retention)
        })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        guard(&self.path, || read(&self.database.begin_read()?))
    }

    fn write(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        guard(&self.path, || {
            let tx = self.database.begin_write()?;
            write(&tx)?;
            Ok(tx.commit()?)
        })
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

// === the steps of a commit ===

fn put_traces(tx: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    let (mut traces, mut by_age) = (tx.open_table(TRACES)?, tx.open_table(TRACES_BY_AGE)?);
    for (id, record) in &batch.traces {
        let at = record.trace.at.micros();
        let Ok(bytes) = serde_json::to_vec(record.as_ref()) else {
            continue;
        };
        let before = traces
            .insert(id.0, (at, bytes.as_slice()))?
            .map(|row| row.value().0);
        if let Some(before) = before.filter(|b| *b != at) {
            by_age.remove((before, id.0))?;
        }
        by_age.insert((at, id.0), ())?;
    }
    Ok(())
}

fn put_responses(tx: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    let (mut responses, mut by_age) = (tx.open_table(RESPONSES)?, tx.open_table(RESPONSES_BY_AGE)?);
    for (id, record) in &batch.responses {
        let before = match record {
            Some(r) => {
                let row = (
                    r.at.micros(),
                    r.owner.as_deref(),
                    r.parent.as_deref(),
                    r.body.as_slice(),
                );
                responses.insert(id.as_str(), row)?.map(|row| row.value().0)
            }
            None => responses.remove(id.as_str())?.map(|row| row.value().0),
        };
        if let Some(before) = before {
            by_age.remove((before, id.as_str()))?;
        }
        if let Some(r) = record {
            by_age.insert((r.at.micros(), id.as_str()), ())?;
        }
    }
    Ok(())
}

fn put_claims(tx: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    let (mut claims, mut by_age) = (tx.open_table(CLAIMS)?, tx.open_table(CLAIMS_BY_AGE)?);
    let at = batch.newest.micros();
    for (trace, stage) in &batch.claims {
        let key = (trace.0, code(*stage));
        if claims.get(key)?.is_none() {
            claims.insert(key, at)?;
            by_age.insert((at, key.0, key.1), ())?;
        }
    }
    Ok(())
}

fn prune(tx: &WriteTransaction, now: Timestamp, retention: &Retention) -> Result<(), redb::Error> {
    let oldest = retention.oldest_trace(now).micros();
    let (mut traces, mut by_age) = (tx.open_table(TRACES)?, tx.open_table(TRACES_BY_AGE)?);
    loop {
        let first = by_age.first()?.map(|(key, _)| key.value());
        let full = by_age.len()? > u64::from(retention.traces);
        let Some((at, id)) = first.filter(|(at, _)| full || *at < oldest) else {
            break;
        };
        by_age.remove((at, id))?;
        traces.remove(id)?;
    }
    let (mut claims, mut by_age) = (tx.open_table(CLAIMS)?, tx.open_table(CLAIMS_BY_AGE)?);
    loop {
        let first = by_age.first()?.map(|(key, _)| key.value());
        let full = by_age.len()? > retention.claims();
        let Some((at, trace, stage)) = first.filter(|(at, ..)| full || *at < oldest) else {
            break;
        };
        by_age.remove((at, trace, stage))?;
        claims.remove((trace, stage))?;
    }
    let oldest = retention.oldest_response(now).micros();
    let (mut responses, mut by_age) = (tx.open_table(RESPONSES)?, tx.open_table(RESPONSES_BY_AGE)?);
    loop {
        let first = by_age
            .first()?
            .map(|(key, _)| (key.value().0, key.value().1.to_owned()));
        let full = by_age.len()? > u64::from(retention.responses);
        let Some((at, id)) = first.filter(|(at, _)| full || *at < oldest) else {
            break;
        };
        by_age.remove((at, id.as_str()))?;
        responses.remove(id.as_str())?;
    }
    Ok(())
}

const fn code(stage: Stage) -> u8 {
    match stage {
        Stage::Run => 0,
        Stage::Feedback => 1,
    }
}

// === errors ===

/// A table that no commit has made yet is empty.
fn table<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Runs something on the file and names the file in its error. A damaged page that no checksum was taken of can make redb
/// panic; that too is an error here, because routing must go on without the store.
fn guard<T>(path: &Path, run: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| name(path, error)),
        Err(_) => Err(StoreError::corrupt(path, &"a page cannot be read")),
    }
}

fn name(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            StoreError::Locked(path.to_owned())
        }
        // redb says this of a file that is none of its own.
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::corrupt(path, &error)
        }
        redb::Error::Io(error) => StoreError::io(path, error),
        other => StoreError::corrupt(path, &other),
    }
}
