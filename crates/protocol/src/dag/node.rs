//! DAG-PB: links, and bytes for whoever understands them.

use super::cursor::{Cursor, Field};
use super::name::CidBytes;

/// A node as it stands in its block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node<'a> {
    pub links: Vec<Link<'a>>,
    pub data: Option<&'a [u8]>,
}

/// A link. What it says about the size of its target is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link<'a> {
    pub target: CidBytes<'a>,
    pub name: &'a [u8],
}

impl<'a> Node<'a> {
    /// Reads a block; `None` when it is no node.
    pub fn read(block: &'a [u8]) -> Option<Node<'a>> {
        let (mut node, mut rest) = (Node::default(), Cursor(block));
        while !rest.is_empty() {
            match rest.field()? {
                (1, Field::Bytes(data)) if node.data.is_none() => node.data = Some(data),
                (2, Field::Bytes(link)) => node.links.push(Link::read(link)?),
                _ => return None,
            }
        }
        Some(node)
    }
}

impl<'a> Link<'a> {
    fn read(bytes: &'a [u8]) -> Option<Link<'a>> {
        let (mut target, mut name, mut rest) = (None, &[][..], Cursor(bytes));
        while !rest.is_empty() {
            match rest.field()? {
                (1, Field::Bytes(cid)) if target.is_none() => {
                    target = Some(CidBytes::read(cid)?);
                }
                (2, Field::Bytes(text)) => name = text,
                (3, Field::Number(_)) => {}
                _ => return None,
            }
        }
        Some(Link {
            target: target?,
            name,
        })
    }
}
