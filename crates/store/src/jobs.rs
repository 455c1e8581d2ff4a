//! When background work of this node was last done.

use beth_protocol::time::Timestamp;

use crate::error::Error;
use crate::state::State;

impl State<'_> {
    /// Last time this work was done.
    pub fn last_run(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        let micros: Option<i64> =
            self.one("SELECT last_run FROM jobs WHERE name = ?1", [name], |row| {
                row.get(0)
            })?;
        Ok(micros.map(Timestamp::from_micros))
    }

    /// Writes that this work was done.
    pub fn set_last_run(&self, name: &str, at: Timestamp) -> Result<(), Error> {
        self.run(
            "INSERT INTO jobs (name, last_run) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET last_run = ?2",
            (name, at.micros()),
        )?;
        Ok(())
    }
}
