//! What is in Redis, and how it is asked and told.
//!
//! Owns: the names of the keys, the scripts, and the forms of the answers. May touch: nothing
//! outside this room.
//!
//! | key | what |
//! |---|---|
//! | `PREFIX:CACHE:o:HEX` | an object, with a time to live |
//! | `{PREFIX:CACHE}:purges` | `epoch`, a random number; `generation`, of the last purge; `began`, the first one |
//! | `{PREFIX:CACHE}:log` | a stream of the last purges; each names the one before it |
//! | `PREFIX:CACHE:purges` | the channel of news: a generation |
//!
//! Generations are microseconds since 1970 by Redis's clock, but always rise.

use super::link::{RedisWire, random};
use crate::cache::{
    store::PurgeTarget,
    tiers::{key::TierKey, purge::Purge},
};
use redis::{Cmd, RedisError, RedisResult};

/// So many entries of the log are read at once.
const CHUNK: usize = 1024;

/// Needs the keys, a new epoch, and a generation to be above of. Returns `now`.
const BEGIN: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then
  local first = text(math.max(now, ARGV[2] + 1))
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
  redis.call('HSET', KEYS[1], 'generation', first)
  redis.call('HSET', KEYS[1], 'began', first)
end
";

/// Answers with what it has.
const ASK: &str = r"
local told = redis.call('HMGET', KEYS[1], 'epoch', 'generation', 'began')
told[4] = text(now)
return told
";

/// Notes a purge.
const TELL: &str = r"
local before = redis.call('HGET', KEYS[1], 'generation')
local generation = text(math.max(before + 1, now, ARGV[2] + 1))
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 16384, generation .. '-0', 'prev', before, 'purge', ARGV[4], 'by', ARGV[5])
redis.call('HSET', KEYS[1], 'generation', generation)
redis.call('PUBLISH', ARGV[3], generation)
return {redis.call('HGET', KEYS[1], 'epoch'), generation}
";

/// The keys of a cache.
#[derive(Debug)]
pub(super) struct Ledger {
    objects: String,
    purges: String,
    log: String,
    /// Of news.
    pub(super) channel: String,
    begin: String,
    tell: String,
    /// Who we are.
    own: u64,
}

/// What Redis says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct LedgerState {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    /// The generation at which the epoch began.
    pub(super) began: u64,
    /// Its clock, in microseconds.
    pub(super) now: u64,
}

/// A purge in the log.
#[derive(Debug)]
pub(super) struct LogEntry {
    pub(super) generation: u64,
    /// The generation before it.
    pub(super) before: u64,
    /// None: only the generation was raised.
    pub(super) purge: Option<Purge>,
    /// We made it ourselves.
    pub(super) own: bool,
}

impl Ledger {
    /// Of a cache.
    pub(super) fn new(prefix: &str, cache: &str) -> Self {
        let name = format!("{prefix}:{cache}");
        Self {
            objects: format!("{name}:o:"),
            purges: format!("{{{name}}}:purges"),
            log: format!("{{{name}}}:log"),
            channel: format!("{name}:purges"),
            begin: format!("{BEGIN}{ASK}"),
            tell: format!("{BEGIN}{TELL}"),
            own: random(),
        }
    }

    /// The key of an object.
    pub(super) fn object(&self, key: &TierKey) -> String {
        self.objects.clone() + &key.hex()
    }

    fn eval(&self, script: &str, above: u64) -> Cmd {
        // The whole script each time: it is short, and purges are rare.
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(2).arg(&self.purges).arg(&self.log).arg(random()).arg(above);
        eval
    }

    /// Begins an epoch if there is none, above this generation.
    pub(super) async fn begin(&self, wire: &RedisWire, above: u64) -> RedisResult<LedgerState> {
        let (epoch, generation, began, now) = wire.ask(&self.eval(&self.begin, above)).await?;
        Ok(LedgerState { epoch, generation, began, now })
    }

    /// Tells of a purge, or only raises the generation above this one. Returns the epoch
    /// and the purge's generation.
    pub(super) async fn tell(
        &self,
        wire: &RedisWire,
        above: u64,
        purge: Option<&Purge>,
    ) -> RedisResult<(u64, u64)> {
        let purge = purge.map(|it| postcard::to_allocvec(it).unwrap_or_default());
        let mut eval = self.eval(&self.tell, above);
        eval.arg(&self.channel).arg(purge.unwrap_or_default()).arg(self.own);
        wire.ask(&eval).await
    }

    /// The epoch and the generation, if there are any.
    pub(super) async fn ask(&self, wire: &RedisWire) -> RedisResult<(Option<u64>, Option<u64>)> {
        let mut ask = redis::cmd("HMGET");
        wire.ask(ask.arg(&self.purges).arg("epoch").arg("generation")).await
    }

    /// The next entries above this generation. None are left when there are none.
    pub(super) async fn log(&self, wire: &RedisWire, above: u64) -> RedisResult<Vec<LogEntry>> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.log).arg(above + 1).arg("+").arg("COUNT").arg(CHUNK);
        let found: Vec<(String, Vec<Vec<u8>>)> = wire.ask(&range).await?;
        found.into_iter().map(|(id, fields)| LogEntry::read(&id, &fields, self.own)).collect()
    }
}

impl LogEntry {
    fn read(id: &str, fields: &[Vec<u8>], own: u64) -> RedisResult<Self> {
        let number = |text: &str| text.parse().ok();
        let value = |name: &[u8]| {
            let pairs = fields.as_chunks::<2>().0;
            pairs.iter().find(|it| it[0] == name).map(|it| &it[1][..])
        };
        let generation = id.split('-').next().and_then(number);
        let before = value(b"prev").and_then(|it| number(std::str::from_utf8(it).ok()?));
        let (Some(generation), Some(before)) = (generation, before) else {
            return Err(foreign("an entry of the log of purges can't be read"));
        };
        // What a newer version purged, and we can't read, is everything.
        let purge = match value(b"purge") {
            Some([]) => None,
            Some(bytes) => Some(postcard::from_bytes(bytes).unwrap_or_else(|_| everything())),
            None => Some(everything()),
        };
        let by = value(b"by").and_then(|it| number(std::str::from_utf8(it).ok()?));
        Ok(Self { generation, before, purge, own: by == Some(own) })
    }
}

fn everything() -> Purge {
    Purge::new(&PurgeTarget::All, false)
}

/// Redis has something that we did not write.
fn foreign(what: &'static str) -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, what).into()
}
