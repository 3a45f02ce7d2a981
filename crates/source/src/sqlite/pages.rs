//! Pages of a table's b-tree ("Database File Format" of the SQLite manual, section 1.6), as SQLite's own pager gives them:
//! in its read transaction, from the file or from the write-ahead log.

use super::error::failed;
use super::record::varint;
use crate::SourceError;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection};

/// Not for the whole table, which would be a walk through the file: a page is found by its number.
const PAGE: &str = "SELECT data FROM sqlite_dbpage WHERE pgno = ?1";

/// Where the header of the file says how many bytes at the end of each page are not SQLite's (section 1.3.4).
const RESERVED_AT: usize = 20;

/// The types of pages that a table has (section 1.6).
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

/// The page of this number is not what the format says.
pub(super) fn malformed(page: u32) -> SourceError {
    SourceError::Failed(format!("database disk image is malformed (page {page})"))
}

/// The pages of a database, one at a time.
pub(super) struct Pages<'c> {
    page: CachedStatement<'c>,
    /// Bytes of a page.
    pub(super) size: usize,
    /// How many of them, at its end, are not for the b-tree.
    reserved: usize,
}

impl<'c> Pages<'c> {
    pub(super) fn of(connection: &'c Connection) -> Result<Self, SourceError> {
        let page = connection.prepare_cached(PAGE).map_err(|error| failed(&error))?;
        let mut pages = Self { page, size: 0, reserved: 0 };
        (pages.size, pages.reserved) =
            pages.read(1, |page| Some((page.bytes.len(), usize::from(*page.bytes.get(RESERVED_AT)?))))?;
        Ok(pages)
    }

    /// Reads a page. What is borrowed from it ends with `read`, which gives `None` if the page is malformed.
    pub(super) fn read<T>(
        &mut self,
        number: u32,
        read: impl FnOnce(Page<'_>) -> Option<T>,
    ) -> Result<T, SourceError> {
        self.try_read(number, |page| read(page).ok_or_else(|| malformed(number)))
    }

    /// The same for what can fail otherwise, too.
    pub(super) fn try_read<T>(
        &mut self,
        number: u32,
        read: impl FnOnce(Page<'_>) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut rows = self.page.query([number]).map_err(|error| failed(&error))?;
        let row = rows.next().map_err(|error| failed(&error))?.ok_or_else(|| malformed(number))?;
        let Ok(ValueRef::Blob(image)) = row.get_ref(0) else { return Err(malformed(number)) };
        // At least half of a page: none is smaller than 512 bytes.
        read(Page { bytes: &image[..image.len().saturating_sub(self.reserved)] })
    }
}

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

/// A page, without what is reserved at its end. Not the first of a file, where another header comes before.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    bytes: &'a [u8],
}

/// A cell of a leaf: a row.
pub(super) struct Row<'a> {
    pub(super) id: i64,
    /// Bytes of the record: less than 2 GiB.
    pub(super) size: usize,
    /// Those that are in this page.
    pub(super) payload: &'a [u8],
}

impl<'a> Page<'a> {
    /// The child with the smallest rowids; a leaf has none.
    pub(super) fn first_child(&self) -> Option<Option<u32>> {
        if self.bytes.first() == Some(&LEAF) {
            return Some(None);
        }
        let (child, _) = self.interior_cells()?.next()??;
        Some(Some(child))
    }

    /// The children of this page, which is the root of `tree`, in the order of their rowids.
    pub(super) fn children(&self, tree: &Subtree) -> Option<Vec<Subtree>> {
        let height = tree.height.checked_sub(1)?;
        let mut after = tree.after;
        let mut children = Vec::new();
        for cell in self.interior_cells()? {
            let (page, last) = cell?;
            // Whoever passes this never comes to the same page twice, nor to a row.
            if Some(last) <= after || last > tree.last {
                return None;
            }
            children.push(Subtree { page, height, after, last });
            after = Some(last);
        }
        let page = u32_at(self.bytes, 8)?;
        children.push(Subtree { page, height, after, last: tree.last });
        Some(children)
    }

    /// The cells of an interior page, which has at least one: a child, and the greatest rowid that may be below it.
    fn interior_cells(&self) -> Option<impl Iterator<Item = Option<(u32, i64)>>> {
        let cells = self.cells(INTERIOR, 12)?;
        (cells.len() > 0).then(|| {
            cells.map(|cell| {
                let cell = cell?;
                let (last, _) = varint(cell.get(4..)?)?;
                Some((u32_at(cell, 0)?, last.cast_signed()))
            })
        })
    }

    /// The rows of a leaf.
    #[inline]
    pub(super) fn rows(self) -> Option<impl ExactSizeIterator<Item = Option<Row<'a>>>> {
        let usable = self.bytes.len();
        Some(self.cells(LEAF, 8)?.map(move |cell| {
            let (size, rest) = varint(cell?)?;
            let (id, rest) = varint(rest)?;
            let size = usize::try_from(i32::try_from(size).ok()?).ok()?;
            let payload = rest.get(..size_in_leaf(size, usable))?;
            Some(Row { id: id.cast_signed(), size, payload })
        }))
    }

    /// The cells of a page of this type in their order, each to the end of the page: where it ends is for its content to say.
    #[inline]
    fn cells(self, page_type: u8, header: usize) -> Option<impl ExactSizeIterator<Item = Option<&'a [u8]>>> {
        let bytes = self.bytes;
        let (&[found, _, _, high, low], _) = bytes.split_first_chunk()?;
        let count = usize::from(u16::from_be_bytes([high, low]));
        // No cell is smaller than four bytes, and each has a pointer of two.
        if found != page_type || count > bytes.len().checked_sub(header)? / 6 {
            return None;
        }
        let (pointers, _) = bytes[header..][..2 * count].as_chunks();
        Some(pointers.iter().map(|pointer| bytes.get(usize::from(u16::from_be_bytes(*pointer))..)))
    }
}

/// How many of the bytes of a record are in the leaf; the others are on overflow pages (section 1.6).
#[inline]
fn size_in_leaf(size: usize, usable: usize) -> usize {
    let most = usable - 35;
    if size <= most {
        return size;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let wanted = least + (size - least) % (usable - 4);
    if wanted <= most { wanted } else { least }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whole files, damaged, are compared with what SQLite reads in `tests/it/pages_damaged.rs`.
        #[test]
        fn any_page_is_read_or_malformed(
            is_leaf: bool,
            count in prop_oneof![0..40_u16, any::<u16>()],
            pointers in prop::collection::vec(prop_oneof![8..512_u16, any::<u16>()], 40),
            mut bytes in prop::collection::vec(any::<u8>(), 480..1100),
        ) {
            bytes[0] = if is_leaf { LEAF } else { INTERIOR };
            bytes[3..5].copy_from_slice(&count.to_be_bytes());
            let header = if is_leaf { 8 } else { 12 };
            for (at, pointer) in pointers.iter().enumerate() {
                bytes[header + 2 * at..][..2].copy_from_slice(&pointer.to_be_bytes());
            }
            let page = Page { bytes: &bytes };
            let tree = Subtree { page: 2, height: 1, after: None, last: i64::MAX };
            if let Some(children) = page.children(&tree) {
                prop_assert!(children.windows(2).all(|two| two[0].last < two[1].last && Some(two[0].last) == two[1].after));
            }
            let _ = page.first_child();
            for row in page.rows().into_iter().flatten().flatten() {
                prop_assert!(row.payload.len() <= row.size);
            }
        }
    }
}
