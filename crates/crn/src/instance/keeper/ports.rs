//! Other ports for a guest that runs (compute.md §23).

use serde_json::json;

use super::Keeper;
use crate::instance::fault::InstanceFault;
use crate::instance::guest::Guest;
use crate::instance::link::Link;
use crate::lan::WantedPorts;

impl Keeper {
    /// From now on if it runs; else it gets them when it starts.
    pub(super) async fn map_ports(&mut self, wanted: WantedPorts) -> Result<(), InstanceFault> {
        let Some(guest) = &mut self.guest else {
            return Ok(());
        };
        let before = self.record.link.clone().unwrap_or(Link::None);
        let item_hash = &self.record.item_hash;
        let mapped = self.shop.links.map(item_hash, &before, wanted).await?;
        if mapped.link == before {
            return Ok(());
        }
        for command in &mapped.commands {
            tell(guest, command).await?;
        }
        self.record.link = Some(mapped.link);
        self.save().await?;
        let phase = self.state.borrow().phase;
        self.publish(phase, None);
        Ok(())
    }
}

/// A command of QEMU's old monitor, which answers in prose.
async fn tell(guest: &mut Guest, command: &str) -> Result<(), InstanceFault> {
    let arguments = json!({"command-line": command});
    let said = guest.qmp.execute("human-monitor-command", arguments).await;
    let reason = match said {
        Ok(said) => said.as_str().unwrap_or_default().trim().to_owned(),
        Err(reason) => reason,
    };
    // What was not there any more is gone as well.
    if reason.is_empty() || command.starts_with("hostfwd_remove") {
        return Ok(());
    }
    Err(InstanceFault::Tool {
        tool: "QEMU",
        reason,
    })
}
