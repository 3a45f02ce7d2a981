//! The container of a workbook and its small parts, and the sheet around its rows.

use super::cells::{self, Widths};
use parking_lot::Mutex;
use std::io::{self, Write};
use std::sync::Arc;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

const CONTENT_TYPES: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">"#,
    r#"<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>"#,
    r#"<Default Extension="xml" ContentType="application/xml"/>"#,
    r#"<Override PartName="/xl/workbook.xml" "#,
    r#"ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>"#,
    r#"<Override PartName="/xl/styles.xml" "#,
    r#"ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/>"#,
    r#"<Override PartName="/xl/worksheets/sheet1.xml" "#,
    r#"ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>"#,
    "</Types>"
);

const RELATIONSHIPS: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">"#,
    r#"<Relationship Id="rId1" Target="xl/workbook.xml" "#,
    r#"Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/>"#,
    "</Relationships>"
);

const WORKBOOK: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" "#,
    r#"xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">"#,
    r#"<sheets><sheet name="Users" sheetId="1" r:id="rId1"/></sheets></workbook>"#
);

const WORKBOOK_RELATIONSHIPS: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">"#,
    r#"<Relationship Id="rId1" Target="worksheets/sheet1.xml" "#,
    r#"Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/>"#,
    r#"<Relationship Id="rId2" Target="styles.xml" "#,
    r#"Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"/>"#,
    "</Relationships>"
);

/// The formats of cells, by their numbers in `cells.rs`: as they are, bold, a time with milliseconds, a date, an integer with all
/// its digits, a boolean (which LibreOffice shows as 1 and 0 without).
const STYLES: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">"#,
    r#"<numFmts count="3"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd\ hh:mm:ss.000"/>"#,
    r#"<numFmt numFmtId="165" formatCode="yyyy\-mm\-dd"/>"#,
    r#"<numFmt numFmtId="166" formatCode="&quot;TRUE&quot;;&quot;TRUE&quot;;&quot;FALSE&quot;"/></numFmts>"#,
    r#"<fonts count="2"><font><sz val="11"/><name val="Calibri"/><family val="2"/></font>"#,
    r#"<font><b/><sz val="11"/><name val="Calibri"/><family val="2"/></font></fonts>"#,
    r#"<fills count="2"><fill><patternFill patternType="none"/></fill>"#,
    r#"<fill><patternFill patternType="gray125"/></fill></fills>"#,
    r#"<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>"#,
    r#"<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>"#,
    r#"<cellXfs count="6"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>"#,
    r#"<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>"#,
    r#"<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>"#,
    r#"<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>"#,
    r#"<xf numFmtId="1" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>"#,
    r#"<xf numFmtId="166" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>"#,
    r#"<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>"#
);

/// Up to the widths of the columns. The header stays in sight.
const SHEET: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">"#,
    r#"<sheetViews><sheetView tabSelected="1" workbookViewId="0">"#,
    r#"<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>"#,
    "</sheetView></sheetViews>"
);

/// What is compressed at once: in pieces of the size in which they come, the same rows would make other bytes each time.
const PIECE: usize = 128 * 1024;

/// A workbook on its way out.
pub(super) struct Workbook {
    zip: Option<ZipWriter<StreamWriter<Taken>>>,
    /// What is not compressed yet.
    piece: Vec<u8>,
    /// Of all parts.
    xml_bytes: u64,
    /// What is not taken yet.
    written: Taken,
}

/// Bytes that one side writes and the other takes.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<u8>>>);

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Workbook {
    pub(super) fn new() -> Self {
        let written = Taken::default();
        Self { zip: Some(ZipWriter::new_stream(written.clone())), piece: Vec::new(), xml_bytes: 0, written }
    }

    /// Takes what was written since the last time.
    pub(super) fn take(&self, out: &mut Vec<u8>) {
        out.append(&mut self.written.0.lock());
    }

    /// Writes all that does not depend on the rows, and begins the sheet.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        for (name, content) in [
            ("[Content_Types].xml", CONTENT_TYPES),
            ("_rels/.rels", RELATIONSHIPS),
            ("xl/workbook.xml", WORKBOOK),
            ("xl/_rels/workbook.xml.rels", WORKBOOK_RELATIONSHIPS),
            ("xl/styles.xml", STYLES),
        ] {
            self.begin_part(name)?;
            self.write(content.as_bytes())?;
        }
        // Not as what may have more than 4 GiB (ZIP64): spreadsheets are said to refuse that where it is not needed, and whether it is
        // shows at the end only.
        self.begin_part("xl/worksheets/sheet1.xml")?;
        self.write(SHEET.as_bytes())
    }

    /// Writes the widths of the columns and the header.
    pub(super) fn begin_rows(&mut self, names: &[String], widths: &Widths) -> Result<(), String> {
        let mut xml = b"<cols>".to_vec();
        for (index, name) in names.iter().enumerate() {
            let (column, width) = (index + 1, widths.of_column(index, name));
            let col = format!(r#"<col min="{column}" max="{column}" width="{width}" customWidth="1"/>"#);
            xml.extend_from_slice(col.as_bytes());
        }
        xml.extend_from_slice(b"</cols><sheetData><row>");
        for name in names {
            cells::append_header(&mut xml, name.as_bytes())?;
        }
        xml.extend_from_slice(b"</row>");
        self.write(&xml)
    }

    /// Ends the sheet of so many columns and users, and the container.
    pub(super) fn end(&mut self, columns: usize, rows: u64) -> Result<(), String> {
        let last = cells::column_name(columns);
        let filter = format!(r#"</sheetData><autoFilter ref="A1:{last}{}"/></worksheet>"#, rows + 1);
        self.write(filter.as_bytes())?;
        self.compress_rest()?;
        let zip = self.zip.take().ok_or(ENDED)?;
        zip.finish().map(drop).map_err(|error| problem(&error))
    }

    pub(super) fn write(&mut self, mut xml: &[u8]) -> Result<(), String> {
        self.xml_bytes += xml.len() as u64;
        if self.xml_bytes > MAX_XML {
            return Err(TOO_LARGE.to_owned());
        }
        while self.piece.len() + xml.len() >= PIECE {
            let (now, later) = xml.split_at(PIECE - self.piece.len());
            self.piece.extend_from_slice(now);
            self.compress_rest()?;
            xml = later;
        }
        self.piece.extend_from_slice(xml);
        Ok(())
    }

    fn compress_rest(&mut self) -> Result<(), String> {
        let zip = self.zip.as_mut().ok_or(ENDED)?;
        zip.write_all(&self.piece).map_err(|error| problem(&error))?;
        self.piece.clear();
        Ok(())
    }

    fn begin_part(&mut self, name: &str) -> Result<(), String> {
        // The time of a part is not that of the export: the same users make the same file.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1));
        self.compress_rest()?;
        let zip = self.zip.as_mut().ok_or(ENDED)?;
        zip.start_file(name, options).map_err(|error| problem(&error))
    }
}

/// What a container without ZIP64 holds (APPNOTE.TXT section 4.4.9), before compression.
const MAX_XML: u64 = u32::MAX as u64;
const TOO_LARGE: &str =
    "the sheet of the workbook would have more than 4 GiB; choose fewer users or columns, or another format";
const ENDED: &str = "the workbook has ended";

fn problem(error: &dyn std::error::Error) -> String {
    format!("the workbook cannot be written: {error}")
}
