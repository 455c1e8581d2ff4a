//! PROGRAM, INSTANCE, V-PROGRAM (processing.md §12).

use serde_json::{Value, json};

use super::{Complete, MachineRow, Stop, content_time};
use crate::content::Content;
use crate::content::machine::{ParentVolume, Volume};
use crate::cost::FileRef;
use crate::rejection::{Code, Rejection};
use crate::view::View;

/// Every file a program or instance needs before it can be accepted.
fn references(content: &Content) -> Vec<FileRef<'_>> {
    let mut files = Vec::new();
    let mut add = |reference, use_latest| {
        files.push(FileRef {
            reference,
            use_latest,
        })
    };
    let volumes = match content {
        Content::Program(program) => {
            add(program.code.reference.as_str(), program.code.use_latest);
            add(
                program.runtime.reference.as_str(),
                program.runtime.use_latest,
            );
            if let Some(data) = &program.data {
                add(data.reference.as_str(), data.use_latest == Some(true));
            }
            &program.volumes
        }
        Content::Instance(instance) => {
            let parent = &instance.rootfs.parent;
            add(parent.reference.as_str(), parent.use_latest);
            &instance.volumes
        }
        _ => return files,
    };
    for volume in volumes {
        match volume {
            Volume::Immutable(v) => add(v.reference.as_str(), v.use_latest),
            Volume::Persistent(v) => {
                if let Some(parent) = &v.parent {
                    add(parent.reference.as_str(), parent.use_latest);
                }
            }
            Volume::Ephemeral(_) => {}
        }
    }
    files
}

pub(super) fn dependencies<V: View>(content: &Content, view: &V) -> Result<(), Stop> {
    let mut missing = Vec::new();
    for file in references(content) {
        let text = Value::from(file.reference);
        if resolve(file, view)?.is_none() && !missing.contains(&text) {
            missing.push(text);
        }
    }
    if !missing.is_empty() {
        return Err(Rejection::with(Code::VmVolumeNotFound, missing).into());
    }
    for (name, parent, size_mib) in children(content) {
        check_size(&name, parent, size_mib, view)?;
    }
    replaced(content, view)
}

/// The file behind a reference.
pub(super) fn resolve<V: View>(
    file: FileRef<'_>,
    view: &V,
) -> Result<Option<String>, crate::view::ViewError> {
    Ok(if file.use_latest {
        view.tag(file.reference)?.map(|tag| tag.file_hash)
    } else {
        view.message_pin(file.reference)?.map(|pin| pin.file_hash)
    })
}

/// Disks made from an image: name, image, size in MiB.
fn children(content: &Content) -> Vec<(String, &ParentVolume, u64)> {
    let mut children = Vec::new();
    let volumes = match content {
        Content::Instance(instance) => {
            children.push((
                "rootfs".to_owned(),
                &instance.rootfs.parent,
                instance.rootfs.size_mib,
            ));
            &instance.volumes
        }
        Content::Program(program) => &program.volumes,
        _ => return children,
    };
    for volume in volumes {
        if let Volume::Persistent(v) = volume
            && let Some(parent) = &v.parent
        {
            let name = v.name.clone().unwrap_or_else(|| "None".to_owned());
            children.push((name, parent, v.size_mib));
        }
    }
    children
}

fn check_size<V: View>(
    name: &str,
    parent: &ParentVolume,
    size_mib: u64,
    view: &V,
) -> Result<(), Stop> {
    let reference = parent.reference.as_str();
    let Some(file) = resolve(
        FileRef {
            reference,
            use_latest: parent.use_latest,
        },
        view,
    )?
    else {
        return Ok(());
    };
    let parent_size = view.file_size(&file)?.unwrap_or(0);
    let volume_size = size_mib.saturating_mul(1 << 20);
    if volume_size >= parent_size {
        return Ok(());
    }
    Err(Rejection::with(
        Code::VmVolumeTooSmall,
        vec![json!({
            "volume_name": name, "parent_ref": reference, "parent_file": file,
            "parent_size": parent_size, "volume_size": volume_size,
        })],
    )
    .into())
}

/// `replaces` must name a PROGRAM that allows it; nothing else comes of it.
fn replaced<V: View>(content: &Content, view: &V) -> Result<(), Stop> {
    let replaces = match content {
        Content::Program(program) => &program.replaces,
        Content::Instance(instance) => &instance.replaces,
        _ => return Ok(()),
    };
    let Some(target) = replaces else {
        return Ok(());
    };
    match view.program_allows_amend(target)? {
        None => Err(Rejection::text(Code::VmRefNotFound, target.clone()).into()),
        Some(false) => Err(Rejection::bare(Code::VmAmendNotAllowed).into()),
        Some(true) => Ok(()),
    }
}

pub(super) fn row(complete: &Complete) -> Result<MachineRow, Stop> {
    let content = &complete.content.typed;
    let (allow_amend, is_persistent, triggers) = match content {
        Content::Program(p) => (
            p.allow_amend,
            p.on.persistent == Some(true),
            p.on.message.as_ref().map(|list| json!(list)),
        ),
        Content::Instance(i) => (i.allow_amend, true, None),
        _ => (false, true, None),
    };
    Ok(MachineRow {
        owner: content.address().to_owned(),
        machine_type: complete.message.message_type.as_str(),
        allow_amend,
        uses: uses(content),
        is_persistent,
        triggers,
        created: content_time(&complete.content)?,
    })
}

/// References that protect their STORE messages from FORGET. Parents of
/// persistent volumes do not (processing.md §13).
fn uses(content: &Content) -> Vec<String> {
    let mut uses: Vec<String> = Vec::new();
    let volumes: &[Volume] = match content {
        Content::Program(p) => {
            uses.extend([
                p.code.reference.to_string(),
                p.runtime.reference.to_string(),
            ]);
            uses.extend(p.data.iter().map(|data| data.reference.to_string()));
            &p.volumes
        }
        Content::Instance(i) => {
            uses.push(i.rootfs.parent.reference.to_string());
            &i.volumes
        }
        Content::VerifiedProgram(v) => {
            uses.extend(
                [
                    &v.runtime.reference,
                    &v.workload.reference,
                    &v.workload.hash_tree,
                ]
                .map(ToString::to_string),
            );
            for volume in &v.volumes {
                uses.extend([volume.reference.to_string(), volume.hash_tree.to_string()]);
            }
            &[]
        }
        _ => &[],
    };
    for volume in volumes {
        if let Volume::Immutable(v) = volume {
            uses.push(v.reference.to_string());
        }
    }
    uses.sort();
    uses.dedup();
    uses
}
