//! A walk through a table's b-tree, down to its leaves ("Database File Format" of the SQLite manual, section 1.6).

use super::layout::Layout;
use super::pages::{Pages, malformed};
use crate::source::SourceError;
use std::sync::Arc;

/// Bytes of the pages of a run, roughly: enough that taking it costs nothing beside reading it, few enough that its rows can
/// wait in memory.
const RUN: usize = 1024 * 1024;

/// As SQLite: a tree of two children a page that is higher would be larger than any file.
const MAX_HEIGHT: u32 = 20;

/// A page and what is below it.
pub(super) struct Subtree {
    pub(super) page: u32,
    /// Zero for a leaf.
    pub(super) height: u32,
    /// All its rowids are greater than this.
    pub(super) after: Option<i64>,
    /// None of its rowids is greater than this.
    pub(super) last: i64,
}

/// Leaves of a table that follow one another.
pub(super) struct Leaves {
    pub(super) layout: Arc<Layout>,
    pub(super) pages: Vec<Subtree>,
}

/// Goes through the leaves of a table in the order of its rowids.
pub(super) struct Walk {
    layout: Arc<Layout>,
    /// What has not been visited, the next of it at the end.
    ahead: Vec<Subtree>,
}

impl Walk {
    pub(super) fn of(layout: Layout, pages: &mut Pages<'_>) -> Result<Self, SourceError> {
        let page = layout.root;
        let (_, height) = first_leaf(page, pages)?;
        let ahead = vec![Subtree { page, height, after: None, last: i64::MAX }];
        Ok(Self { layout: Arc::new(layout), ahead })
    }

    /// The run of leaves that follows; `None` at the end.
    pub(super) fn next(&mut self, pages: &mut Pages<'_>) -> Result<Option<Leaves>, SourceError> {
        while let Some(tree) = self.ahead.pop_if(|tree| tree.height > 0) {
            let children = pages.read(tree.page, |page| page.children(&tree))?;
            self.ahead.extend(children.into_iter().rev());
        }
        let most = (RUN / pages.size).max(1);
        let count = self.ahead.iter().rev().take_while(|tree| tree.height == 0).take(most).count();
        let mut run = self.ahead.split_off(self.ahead.len() - count);
        run.reverse();
        Ok((!run.is_empty()).then(|| Leaves { layout: Arc::clone(&self.layout), pages: run }))
    }
}

/// The leaf with the smallest rowids, and how high above it the root is. All leaves are at the same height.
pub(super) fn first_leaf(root: u32, pages: &mut Pages<'_>) -> Result<(u32, u32), SourceError> {
    let mut number = root;
    for height in 0..MAX_HEIGHT {
        let child = pages
            .read(number, |page| if page.is_leaf() { Some(None) } else { page.first_child().map(Some) })?;
        match child {
            Some(child) => number = child,
            None => return Ok((number, height)),
        }
    }
    Err(malformed(root))
}
