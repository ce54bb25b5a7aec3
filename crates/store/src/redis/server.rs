//! What is said to the server, and how its answers are read.

use std::{sync::Arc, time::Duration};

use fingerpost_core::{Name, Stage, Timestamp, TraceId};
use redis::{
    Connection, FromRedisValue, Pipeline, RedisResult, cmd,
    streams::{StreamId, StreamReadReply},
};
use serde::{Deserialize, Serialize};

use super::{
    keys::Keys,
    pending::Batch,
    progress::{Done, Entry, Learned, Place},
    scripts,
};
use crate::{ResponseRecord, Retention, TraceRecord};

/// The words spoken to the server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) keys: Arc<Keys>,
    /// About how many entries the log keeps.
    pub(super) log: u32,
    /// How long a claim lasts: as long as its trace, which is older.
    pub(super) claim_for: Duration,
}

/// The first line of a stored response; its body follows.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Name>,
    at: Timestamp,
}

/// Commands, and bytes, after which the answers are waited for, so that one exchange stays well within its time-out.
const COMMANDS: usize = 256;
const BYTES: usize = 1 << 20;
/// What the snapshot's own fields begin with; those of routers with `r:`.
const DONE: &str = "done";
const STATE_OF: &str = "r:";

/// A pipeline that is run piece by piece.
struct Piecewise<'c> {
    connection: &'c mut Connection,
    pipeline: Pipeline,
    commands: usize,
    bytes: usize,
}

/// The name of the server's process, which it changes with every start; `None` where it does not tell.
pub(super) fn process(connection: &mut Connection) -> RedisResult<Option<String>> {
    let told = match cmd("INFO").arg("server").query::<String>(connection) {
        Ok(told) => told,
        // The user may not ask, or the server does not know the word.
        Err(error) if !error.is_io_error() && error.code() != Some("NOAUTH") => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(told
        .lines()
        .find_map(|line| line.strip_prefix("run_id:"))
        .map(|id| id.trim().to_owned()))
}

// === impl Server ===

impl Server {
    /// Claims again what is known to be delivered.
    pub(super) fn claim_again(
        &self,
        connection: &mut Connection,
        heard: &[TraceId],
        who: &str,
    ) -> RedisResult<()> {
        let mut piecewise = Piecewise::on(connection);
        for id in heard {
            let key = self.keys.claim(*id, Stage::Feedback);
            piecewise.add(key.len(), |pipeline| {
                pipeline
                    .cmd("SET")
                    .arg(&key)
                    .arg(who)
                    .arg("NX")
                    .arg("EX")
                    .arg(seconds(self.claim_for))
                    .ignore();
            })?;
        }
        piecewise.run()
    }

    pub(super) fn claim(
        &self,
        connection: &mut Connection,
        (id, stage): (TraceId, Stage),
        claimant: &str,
        told: &[u8],
    ) -> RedisResult<Option<Option<Place>>> {
        let place: Option<String> = cmd("EVAL")
            .arg(scripts::CLAIM)
            .arg(2)
            .arg(self.keys.claim(id, stage))
            .arg(&self.keys.log)
            .arg(claimant)
            .arg(seconds(self.claim_for))
            .arg(self.log)
            .arg(told)
            .query(connection)?;
        Ok(place.map(|place| Place::parse(&place)))
    }

    pub(super) fn trace(&self, connection: &mut Connection, id: TraceId) -> RedisResult<Option<TraceRecord>> {
        let bytes: Option<Vec<u8>> = cmd("GET").arg(self.keys.trace(id)).query(connection)?;
        bytes
            .map(|bytes| serde_json::from_slice(&bytes).map_err(|e| unreadable("trace", &e)))
            .transpose()
    }

    pub(super) fn response(
        &self,
        connection: &mut Connection,
        id: &str,
    ) -> RedisResult<Option<ResponseRecord>> {
        let bytes: Option<Vec<u8>> = cmd("GET").arg(self.keys.response(id)).query(connection)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(bytes.len());
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|e| unreadable("response", &e))?;
        Ok(Some(ResponseRecord {
            id: id.into(),
            parent: head.parent,
            owner: head.owner,
            at: head.at,
            body: bytes.get(end + 1..).unwrap_or_default().to_vec(),
        }))
    }

    pub(super) fn state(&self, connection: &mut Connection, name: &str) -> RedisResult<Option<Vec<u8>>> {
        cmd("GET").arg(self.keys.state(name)).query(connection)
    }

    /// What this group of routers has learned, or else the group that last kept something.
    pub(super) fn learned(&self, connection: &mut Connection, group: &str) -> RedisResult<Option<Learned>> {
        if let Some(learned) = self.learned_by(connection, group)? {
            return Ok(Some(learned));
        }
        let newest: Option<String> = cmd("GET").arg(&self.keys.learned).query(connection)?;
        newest.map_or(Ok(None), |group| self.learned_by(connection, &group))
    }

    fn learned_by(&self, connection: &mut Connection, group: &str) -> RedisResult<Option<Learned>> {
        let fields: Vec<(String, Vec<u8>)> = cmd("HGETALL")
            .arg(self.keys.learned_by(group))
            .query(connection)?;
        let Some((_, done)) = fields.iter().find(|(field, _)| field == DONE) else {
            return Ok(None);
        };
        let done: Done = serde_json::from_slice(done).map_err(|e| unreadable("learned state", &e))?;
        let state =
            |(field, state): &(String, Vec<u8>)| Some((field.strip_prefix(STATE_OF)?.into(), state.clone()));
        Ok(Some(Learned {
            group: group.to_owned(),
            done,
            states: fields.iter().filter_map(state).collect(),
        }))
    }

    /// The entries of the log behind `place`; waits for the first for up to `ponder`.
    pub(super) fn read(
        &self,
        connection: &mut Connection,
        place: Place,
        most: usize,
        ponder: Duration,
    ) -> RedisResult<Vec<Entry>> {
        let reply: Option<StreamReadReply> = cmd("XREAD")
            .arg("COUNT")
            .arg(most)
            .arg("BLOCK")
            .arg(u64::try_from(ponder.as_millis()).unwrap_or(u64::MAX))
            .arg("STREAMS")
            .arg(&self.keys.log)
            .arg(place.to_string())
            .query(connection)?;
        let entries = reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids);
        Ok(entries.filter_map(|entry| read_entry(&entry)).collect())
    }

    /// Sends a batch and forgets what is past its retention. Sent twice it changes nothing that matters: entries of the log
    /// carry numbers, all else takes the place of itself.
    pub(super) fn send(
        &self,
        connection: &mut Connection,
        batch: &Batch,
        retention: &Retention,
    ) -> RedisResult<()> {
        let mut out = Piecewise::on(connection);
        for run in &batch.runs {
            out.add(run.told.len(), |pipeline| {
                let entry = pipeline
                    .cmd("XADD")
                    .arg(&self.keys.log)
                    .arg("MAXLEN")
                    .arg("~")
                    .arg(self.log)
                    .arg("*");
                entry
                    .arg("o")
                    .arg(&*run.origin)
                    .arg("n")
                    .arg(run.number)
                    .arg("d")
                    .arg(&run.told)
                    .ignore();
            })?;
        }
        for (id, record) in &batch.traces {
            let Ok(bytes) = serde_json::to_vec(record.as_ref()) else {
                continue;
            };
            out.add(bytes.len(), |pipeline| {
                let (key, id) = (self.keys.trace(*id), id.to_string());
                pipeline
                    .cmd("SET")
                    .arg(key)
                    .arg(&bytes)
                    .arg("EX")
                    .arg(seconds(retention.traces_for))
                    .ignore();
                pipeline
                    .cmd("ZADD")
                    .arg(&self.keys.traces)
                    .arg(record.trace.at.micros())
                    .arg(id)
                    .ignore();
            })?;
        }
        for (id, record) in &batch.responses {
            self.send_response(&mut out, id, record.as_deref(), retention)?;
        }
        for (name, state) in &batch.states {
            out.add(state.len(), |pipeline| {
                pipeline
                    .cmd("SET")
                    .arg(self.keys.state(name))
                    .arg(&**state)
                    .ignore();
            })?;
        }
        if let Some(learned) = &batch.learned {
            self.send_learned(&mut out, learned)?;
        }
        self.forget(&mut out, batch.newest, retention)?;
        out.run()
    }

    fn send_response(
        &self,
        out: &mut Piecewise<'_>,
        id: &str,
        record: Option<&ResponseRecord>,
        retention: &Retention,
    ) -> RedisResult<()> {
        let key = self.keys.response(id);
        let Some(record) = record else {
            return out.add(key.len(), |pipeline| {
                pipeline
                    .cmd("DEL")
                    .arg(key)
                    .ignore()
                    .cmd("ZREM")
                    .arg(&self.keys.responses)
                    .arg(id)
                    .ignore();
            });
        };
        let head = Head {
            parent: record.parent.clone(),
            owner: record.owner.clone(),
            at: record.at,
        };
        // A head is made of texts and a number, which always serialise.
        let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(&record.body);
        out.add(bytes.len(), |pipeline| {
            pipeline
                .cmd("SET")
                .arg(key)
                .arg(&bytes)
                .arg("EX")
                .arg(seconds(retention.responses_for))
                .ignore();
            pipeline
                .cmd("ZADD")
                .arg(&self.keys.responses)
                .arg(record.at.micros())
                .arg(id)
                .ignore();
        })
    }

    fn send_learned(&self, out: &mut Piecewise<'_>, learned: &Learned) -> RedisResult<()> {
        // Names and numbers, which always serialise.
        let done = serde_json::to_vec(&learned.done).unwrap_or_default();
        let size = learned.states.iter().map(|(_, state)| state.len()).sum();
        out.add(size, |pipeline| {
            let keep = pipeline.cmd("EVAL").arg(scripts::KEEP).arg(2);
            keep.arg(self.keys.learned_by(&learned.group))
                .arg(&self.keys.learned);
            keep.arg(&learned.group)
                .arg(learned.done.place.padded())
                .arg(DONE)
                .arg(done);
            for (name, state) in &learned.states {
                keep.arg(format!("{STATE_OF}{name}")).arg(state);
            }
            keep.ignore();
        })
    }

    fn forget(&self, out: &mut Piecewise<'_>, newest: Timestamp, retention: &Retention) -> RedisResult<()> {
        let kinds = [
            (
                &self.keys.traces,
                self.keys.any_trace(),
                retention.oldest_trace(newest),
                retention.traces,
            ),
            (
                &self.keys.responses,
                self.keys.any_response(),
                retention.oldest_response(newest),
                retention.responses,
            ),
        ];
        for (index, keys, oldest, most) in kinds {
            out.add(0, |pipeline| {
                let forget = pipeline.cmd("EVAL").arg(scripts::FORGET).arg(1).arg(index);
                forget.arg(keys).arg(oldest.micros()).arg(most).ignore();
            })?;
        }
        Ok(())
    }
}

fn read_entry(entry: &StreamId) -> Option<Entry> {
    let origin = entry.get::<String>("o").zip(entry.get::<u64>("n"));
    Some(Entry {
        place: Place::parse(&entry.id)?,
        from: origin.map(|(origin, number)| (origin.into(), number)),
        // An entry of somebody else's is read as one that cannot be understood.
        told: entry
            .map
            .get("d")
            .and_then(|told| Vec::<u8>::from_redis_value(told.clone()).ok())
            .unwrap_or_default(),
    })
}

/// Whole seconds, at least one: the server takes no less.
fn seconds(time: Duration) -> u64 {
    // Far beyond any retention, and far below where the server's own arithmetic would overflow.
    const LONGEST: u64 = 100 * 365 * 24 * 3600;
    time.as_secs().clamp(1, LONGEST)
}

fn unreadable(what: &'static str, error: &serde_json::Error) -> redis::RedisError {
    (
        redis::ErrorKind::Parse,
        "what is stored cannot be read",
        format!("{what}: {error}"),
    )
        .into()
}

// === impl Piecewise ===

impl<'c> Piecewise<'c> {
    fn on(connection: &'c mut Connection) -> Self {
        Self {
            connection,
            pipeline: Pipeline::new(),
            commands: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, bytes: usize, add: impl FnOnce(&mut Pipeline)) -> RedisResult<()> {
        add(&mut self.pipeline);
        self.commands += 1;
        self.bytes += bytes;
        if self.commands >= COMMANDS || self.bytes >= BYTES {
            self.run()
        } else {
            Ok(())
        }
    }

    fn run(&mut self) -> RedisResult<()> {
        if self.commands > 0 {
            self.pipeline.query::<()>(self.connection)?;
            self.pipeline.clear();
            (self.commands, self.bytes) = (0, 0);
        }
        Ok(())
    }
}
