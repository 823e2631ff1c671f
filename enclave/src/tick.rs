//! What the vault does by itself once its time has come: rotate, expire, clean up. Always a change in the journal,
//! never more of it at once than other requests can wait for.

use vouchsafe_protocol::refusal::RefusalCode;

use crate::core::Core;
use crate::ports::Ports;

impl Core {
    /// When [`Core::tick`] has something to do, in seconds since 1970; `u64::MAX` if never.
    #[must_use]
    pub fn next_tick(&self) -> u64 {
        let state = self.state();
        if self.has_ended() {
            return u64::MAX;
        }
        match self.ask_space_at() {
            // Nothing that can wait fills what is left.
            Some(at) => at.min(self.next_chore()),
            None => state.kv.next_due().min(state.transit.next_due()).min(self.next_chore()),
        }
    }

    /// Does one bounded step of what is due. Call it again while [`Core::next_tick`] is not in the future.
    ///
    /// # Errors
    /// [`RefusalCode::Busy`] without randomness, or after [`Core::end`]: nothing was done.
    pub fn tick(&mut self, now: u64, ports: &mut dyn Ports) -> Result<(), RefusalCode> {
        let now = self.advance_clock(now);
        if self.has_ended() {
            return Err(RefusalCode::Busy);
        }
        match self.ask_space_at() {
            Some(at) if at <= now => self.ask_space(now, ports)?,
            Some(_) => {}
            None => {
                self.tick_kv(now, ports)?;
                self.tick_transit(now, ports)?;
            }
        }
        if self.next_chore() <= now { self.do_chore(now, ports) } else { Ok(()) }
    }
}
