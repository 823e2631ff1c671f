//! Coming back: the journal is read from its first frame, every frame is opened and applied, and what it says
//! is held against the platform's counter before anything is served.

use vouchsafe_crypto::secret::Key32;
use vouchsafe_log::{FrameError, FrameReader, Tree};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::limits::JOURNAL_FRAME_LEN;
use vouchsafe_protocol::link::StreamId;

use crate::boot::{BootRecord, PlatformName};
use crate::change::Change;
use crate::genesis::rung;
use crate::journal::{Journal, JournalStart};
use crate::keys;
use crate::ports::{self, Ports};
use crate::state::State;
use crate::statement::Unattested;

/// A vault that rested for longer is more likely to have a wrong clock.
const MAX_REST_DAYS: u64 = 400;
const DAY_SECS: u64 = 86_400;

/// Why a vault does not come back. Each cause has its own variant; none is ever repaired or ignored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The clock is implausibly far ahead of everything in the journal. Time only moves forward inside, so one
    /// start with such a clock would end every identity for good.
    #[error(
        "the machine's clock is {days} days ahead of the vault's last record; set it right, or, if the vault \
         rested for so long, start it once with the clock set back to at most {MAX_REST_DAYS} days after"
    )]
    Clock {
        /// Days ahead.
        days: u64,
    },
    /// The counter is further behind than a crash explains.
    #[error(
        "the platform's counter shows {counter} where the journal asks for {expected}: \
         the counter was reset or replaced; the vault does not start"
    )]
    CounterBehind {
        /// What the counter shows.
        counter: u64,
        /// What the journal asks for.
        expected: u64,
    },
    /// The platform has no counter any more, or has one it did not have.
    #[error("the platform's counter appeared or vanished since the vault was created")]
    CounterChanged,
    /// The journal is of another vault than the boot record.
    #[error("the journal belongs to another vault than the boot record; restore matching files")]
    ForeignJournal,
    /// A frame is not what this vault wrote, in this order.
    #[error("the journal was edited: frame {index} is refused")]
    Frame {
        /// Index of the frame.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// The frames are genuine but do not fit together.
    #[error("the journal contradicts itself; the vault does not start")]
    Inconsistent,
    /// There is a boot record but no journal.
    #[error("the journal is missing; restore it together with the boot record")]
    Missing,
    /// No randomness.
    #[error("the random generator failed")]
    Random,
    /// The journal ends before the counter: it is an older copy, or its end was cut off.
    #[error(
        "the journal is older than the platform's counter ({journal} where it shows {counter}): \
         it was rolled back or its end was cut off; restore the newest copy"
    )]
    RolledBack {
        /// What the journal leads to.
        journal: u64,
        /// What the counter shows.
        counter: u64,
    },
}

impl RestoreError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Clock { .. } => "clock.implausible",
            Self::CounterBehind { .. } => "journal.counter_behind",
            Self::CounterChanged => "journal.counter_changed",
            Self::ForeignJournal => "journal.foreign",
            Self::Frame { .. } => "journal.edited",
            Self::Inconsistent => "journal.inconsistent",
            Self::Missing => "journal.missing",
            Self::Random => "random",
            Self::RolledBack { .. } => "journal.rolled_back",
        }
    }
}

/// A journal being read.
pub struct Restore {
    root: Key32,
    platform: PlatformName,
    vault_id: VaultId,
    reader: FrameReader,
    tree: Tree,
    state: Option<State>,
    latest_secs: u64,
}

/// A journal read to its end and found current.
pub struct Restored {
    restore: Restore,
    state: State,
    owes_increment: bool,
}

impl Restore {
    /// Begins with the root key that the platform unsealed.
    #[must_use]
    pub fn new(boot: &BootRecord, root: Key32) -> Self {
        let reader = FrameReader::new(&keys::stream_keys(&root), StreamId::Journal);
        Self {
            root,
            platform: boot.platform,
            vault_id: boot.vault_id,
            reader,
            tree: Tree::default(),
            state: None,
            latest_secs: 0,
        }
    }

    /// Opens and applies the next frame.
    ///
    /// # Errors
    /// [`RestoreError::Frame`], [`RestoreError::Inconsistent`] or [`RestoreError::ForeignJournal`]; nothing that
    /// follows is read.
    pub fn frame(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let index = self.reader.position().index;
        let opened = self.reader.open(bytes).map_err(|source| match source {
            FrameError::ForeignVault { .. } => RestoreError::ForeignJournal,
            source => RestoreError::Frame { index, source },
        })?;
        for (entry, change) in &opened.entries {
            let change: Change = codec::decode(change.expose_secret(), JOURNAL_FRAME_LEN)
                .map_err(|_| RestoreError::Inconsistent)?;
            self.apply(&change)?;
            self.latest_secs = self.latest_secs.max(entry.at_secs);
        }
        opened.leaves.iter().for_each(|leaf| self.tree.push(*leaf));
        Ok(())
    }

    fn apply(&mut self, change: &Change) -> Result<(), RestoreError> {
        match &mut self.state {
            Some(state) => state.apply(change).map_err(|_| RestoreError::Inconsistent),
            None => {
                let state = State::from_init(change).map_err(|_| RestoreError::Inconsistent)?;
                if state.vault_id != self.vault_id {
                    return Err(RestoreError::ForeignJournal);
                }
                self.state = Some(state);
                Ok(())
            }
        }
    }

    /// Ends the reading and compares with the counter. With a counter, its value must be the one that the last
    /// mark asks for, or one less if the enclave ended between storing the mark and counting it.
    ///
    /// # Errors
    /// [`RestoreError::Missing`], [`RestoreError::CounterChanged`], [`RestoreError::CounterBehind`],
    /// [`RestoreError::RolledBack`].
    pub fn finish(mut self, counter: Option<u64>) -> Result<Restored, RestoreError> {
        let state = self.state.take().ok_or(RestoreError::Missing)?;
        let owes_increment = match (counter, state.expected_counter()) {
            (None, None) => false,
            (Some(counter), Some(expected)) if counter == expected => false,
            (Some(counter), Some(expected)) if counter.checked_add(1) == Some(expected) => true,
            (Some(counter), Some(expected)) if counter > expected => {
                return Err(RestoreError::RolledBack { journal: expected, counter });
            }
            (Some(counter), Some(expected)) => {
                return Err(RestoreError::CounterBehind { counter, expected });
            }
            (Some(_), None) | (None, Some(_)) => return Err(RestoreError::CounterChanged),
        };
        Ok(Restored { restore: self, state, owes_increment })
    }
}

impl Restored {
    /// Whether the platform's counter must be incremented once before [`Self::begin`].
    #[must_use]
    pub fn owes_increment(&self) -> bool {
        self.owes_increment
    }

    /// SHA-256 over the whole state, as [`crate::Core::state_digest`] had it when the last frame was stored.
    #[must_use]
    pub fn state_digest(&self) -> [u8; 32] {
        self.state.digest()
    }

    /// Begins a new epoch; its mark waits in the journal to be stored first of all.
    ///
    /// # Errors
    /// [`RestoreError::Clock`], [`RestoreError::Random`], [`RestoreError::Inconsistent`].
    pub fn begin(self, now: u64, ports: &mut dyn Ports) -> Result<Unattested, RestoreError> {
        let Restore { root, platform, reader, tree, latest_secs, .. } = self.restore;
        let days = now.saturating_sub(latest_secs) / DAY_SECS;
        if days > MAX_REST_DAYS {
            return Err(RestoreError::Clock { days });
        }
        let now = now.max(latest_secs);
        let journal = Journal::start(JournalStart {
            vault_id: self.state.vault_id,
            rung: rung(self.state.counter_base),
            log_key: keys::log_key(&root).map_err(|_| RestoreError::Inconsistent)?,
            keys: &keys::stream_keys(&root),
            epoch: self.state.mark + 1,
            writer: ports::array(ports).map_err(|_| RestoreError::Random)?,
            position: reader.position(),
            tree,
        });
        Unattested::begin(self.state, journal, keys::audit_key(&root), platform, now, ports)
    }
}
