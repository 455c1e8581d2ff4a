//! An instance whose memory its node cannot read waits for its owner
//! (compute.md §19).

use super::{Keeper, Outcome};
use crate::instance::fault::InstanceFault;
use crate::instance::record::write_whole;
use crate::instance::sev::{self, Launch};
use crate::instance::state::Phase;
use crate::instance::{disks, guest::Guest};
use crate::workloads::Session;

const NOT_HIDDEN: &str = "Instance is not a confidential instance";
const NOT_RUNNING: &str = "the machine does not run; send its session first";

impl Keeper {
    /// Whether its owner must begin it.
    pub(super) fn is_hidden(&self) -> bool {
        let environment = &self.record.content.environment;
        environment.trusted_execution.is_some()
    }

    /// Makes everything but the machine.
    pub(super) async fn await_owner(&mut self) -> Result<(), InstanceFault> {
        self.prepare().await?;
        self.firmware().await?;
        self.save().await?;
        self.publish(Phase::AwaitsOwner, None);
        Ok(())
    }

    /// Begins the machine; when that fails it waits again.
    pub(super) async fn initialize(&mut self, session: Session) -> Result<(), InstanceFault> {
        if !self.is_hidden() {
            return Err(InstanceFault::WrongState(NOT_HIDDEN));
        }
        if self.guest.is_some() {
            let text = "Operation not allowed, instance already running";
            return Err(InstanceFault::WrongState(text));
        }
        self.record.wanted = true;
        self.prepare().await?;
        let (session_path, godh_path) = sev::session_files(&self.folders);
        disks::blocking(move || {
            write_whole(&session_path, &session.session)?;
            write_whole(&godh_path, &session.godh)
        })
        .await
        .map_err(InstanceFault::disk("keep the session of the owner"))?;
        let started = self.start().await;
        if started.is_err() {
            self.forget_session().await;
            self.publish(Phase::AwaitsOwner, None);
        }
        started
    }

    /// What the processor measured.
    pub(super) async fn measure(&mut self) -> Result<Outcome, InstanceFault> {
        let measured = sev::measure(&mut self.hidden_guest()?.qmp).await;
        let measurement = measured.map_err(said)?;
        Ok(Outcome::Measured(Box::new(measurement)))
    }

    /// Hands the secret over.
    pub(super) async fn inject(
        &mut self,
        packet_header: &str,
        secret: &str,
    ) -> Result<Outcome, InstanceFault> {
        let guest = self.hidden_guest()?;
        let status = sev::inject(&mut guest.qmp, packet_header, secret).await;
        Ok(Outcome::Status(status.map_err(said)?))
    }

    /// What QEMU needs for it; `None` for machines as all others.
    pub(super) async fn hidden_launch(&self) -> Result<Option<Launch>, InstanceFault> {
        let Some(geometry) = self
            .shop
            .cabinet
            .hardware()
            .sev
            .filter(|_| self.is_hidden())
        else {
            return Ok(None);
        };
        let (session, godh) = sev::session_files(&self.folders);
        let firmware = self.firmware().await?.unwrap_or_default();
        Ok(Some(Launch {
            geometry,
            policy: sev::policy(&self.record.content),
            firmware,
            session,
            godh,
        }))
    }

    /// A session is good for one launch.
    pub(super) async fn forget_session(&self) {
        if self.is_hidden() {
            let (session, godh) = sev::session_files(&self.folders);
            for path in [session, godh] {
                drop(tokio::fs::remove_file(path).await);
            }
        }
    }

    async fn firmware(&self) -> Result<Option<std::path::PathBuf>, InstanceFault> {
        match sev::firmware(&self.record.content) {
            Some(reference) => {
                let found = disks::firmware(&reference, &self.shop.source, &self.folders).await;
                found.map(Some)
            }
            None => Ok(None),
        }
    }

    fn hidden_guest(&mut self) -> Result<&mut Guest, InstanceFault> {
        if !self.is_hidden() {
            return Err(InstanceFault::WrongState(NOT_HIDDEN));
        }
        let guest = self.guest.as_mut();
        guest.ok_or(InstanceFault::WrongState(NOT_RUNNING))
    }
}

fn said(reason: String) -> InstanceFault {
    InstanceFault::Tool {
        tool: "QEMU",
        reason,
    }
}
