//! A walk through a table's b-tree, down to its leaves ("Database File Format" of the SQLite manual, section 1.6).

use super::pages::{Pages, Subtree, malformed};
use crate::SourceError;

/// Bytes of the pages of a run, roughly: enough that taking it costs nothing beside reading it, few enough that its rows can
/// wait in memory.
const RUN: usize = 1024 * 1024;
/// The same where parts should be large.
const LARGE_RUN: usize = 6 * RUN;

/// As SQLite: a tree of two children a page that is higher would be larger than any file.
const MAX_HEIGHT: u32 = 20;

/// Goes through the leaves of a table in the order of its rowids.
pub(super) struct Walk {
    /// What has not been visited, the next of it at the end.
    ahead: Vec<Subtree>,
    /// In bytes.
    run: usize,
}

impl Walk {
    /// From the page at the root of the table's tree, in large runs or others.
    pub(super) fn of(root: u32, pages: &mut Pages<'_>, are_large: bool) -> Result<Self, SourceError> {
        let height = height(root, pages)?;
        let ahead = vec![Subtree { page: root, height, after: None, last: i64::MAX }];
        Ok(Self { ahead, run: if are_large { LARGE_RUN } else { RUN } })
    }

    /// The leaves that follow, a run of them; `None` at the end.
    pub(super) fn next(&mut self, pages: &mut Pages<'_>) -> Result<Option<Vec<Subtree>>, SourceError> {
        while let Some(tree) = self.ahead.pop_if(|tree| tree.height > 0) {
            let children = pages.read(tree.page, |page| page.children(&tree))?;
            self.ahead.extend(children.into_iter().rev());
        }
        let most = (self.run / pages.size).max(1);
        let count = self.ahead.iter().rev().take_while(|tree| tree.height == 0).take(most).count();
        let mut run = self.ahead.split_off(self.ahead.len() - count);
        run.reverse();
        Ok((!run.is_empty()).then_some(run))
    }
}

/// How high above its leaves the root is; they are all at the same height.
fn height(root: u32, pages: &mut Pages<'_>) -> Result<u32, SourceError> {
    let mut number = root;
    for height in 0..MAX_HEIGHT {
        match pages.read(number, |page| page.first_child())? {
            Some(child) => number = child,
            None => return Ok(height),
        }
    }
    Err(malformed(root))
}
