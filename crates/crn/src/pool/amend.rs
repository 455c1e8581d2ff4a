//! Live update: machines give way to newer versions of what they are made of.
//!
//! Nothing is interrupted. A machine that takes nothing while idle is let go at
//! once, and ends with its last call; another one when it has no call.

use beth_protocol::ItemHash;
use beth_protocol::content::ProgramContent;
use beth_protocol::content::machine::Volume;

use super::Pool;

/// The STORE messages of which a program wants the newest version.
pub(super) fn followed(content: &ProgramContent) -> Vec<ItemHash> {
    let code = (&content.code.reference, content.code.use_latest);
    let runtime = (!content.code.is_wasm())
        .then_some((&content.runtime.reference, content.runtime.use_latest));
    let data = content
        .data
        .as_ref()
        .map(|data| (&data.reference, data.use_latest.unwrap_or(false)));
    let volumes = content.volumes.iter().filter_map(|volume| match volume {
        Volume::Immutable(volume) => Some((&volume.reference, volume.use_latest)),
        _ => None,
    });
    std::iter::once(code)
        .chain(runtime)
        .chain(data)
        .chain(volumes)
        .filter(|(_, use_latest)| *use_latest)
        .map(|(reference, _)| reference.clone())
        .collect()
}

impl Pool {
    /// Tells the pool that a STORE message has a newer version: the next call of
    /// every program that follows it is answered by a machine made anew. How
    /// many machines that concerns.
    pub fn amended(&self, reference: &ItemHash) -> usize {
        let mut machines = 0;
        for slot in self.all() {
            if !slot.outdate(reference) {
                continue;
            }
            machines += 1;
            let at_once = |slot: &super::slot::SlotInner| {
                slot.is_outdated() && (slot.is_light() || slot.idle_since().is_some())
            };
            if let Some(machine) = slot.take_machine(at_once) {
                let stop = async move { machine.handle.stop().await };
                self.0.tasks.spawn(stop);
            }
        }
        machines
    }
}
