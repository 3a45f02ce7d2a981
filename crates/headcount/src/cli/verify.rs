//! `verify`: works offline, without configuration and store.

use super::{Usage, print};
use anyhow::Context;
use clap::Args;
use headcount_files::links;
use headcount_proof::receipt::{Changed, Mark, Packed, Presented, Verdict};
use headcount_proof::signature::PublicKey;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The export, as it is or compressed with gzip or zstd
    file: PathBuf,
    /// Its receipt [default: FILE.receipt.json]
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// The key that signed it, in PEM, from a place that you trust; see 'receipts public-key'
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

/// Complete and unchanged, if the receipt is true.
const UNCHECKED: u8 = 3;
const NOT_COMPLETE: u8 = 4;
const CHANGED: u8 = 5;
const NOT_OURS: u8 = 6;

/// Receipts are far smaller; more is not read.
const MAX_RECEIPT: u64 = 1024 * 1024;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = receipt_path(arguments)?;
    let receipt =
        Presented::parse(&read(&path)?).with_context(|| format!("{} is not a receipt", path.display()))?;
    let key = arguments.public_key.as_deref().map(read_key).transpose()?;
    if let Some(Err(problem)) = key.map(|key| receipt.check_signature(key)) {
        print(&format!("not ours: {problem}\n"))?;
        return Ok(NOT_OURS.into());
    }
    let unreadable = || format!("{} cannot be read", arguments.file.display());
    let file = File::open(&arguments.file).with_context(unreadable)?;
    let verdict = receipt.compare(file).with_context(unreadable)?;
    let (code, said) = said(&verdict);
    if key.is_some() {
        print(&format!("{said}; export {}, signed with this key\n", receipt.id()))?;
        return Ok(code.into());
    }
    let id = receipt.id().escape_debug();
    print(&format!("{said}; export {id}, SIGNATURE NOT CHECKED: give the key with --public-key\n"))?;
    Ok(if code == 0 { UNCHECKED } else { code }.into())
}

fn receipt_path(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    if let Some(path) = &arguments.receipt {
        return Ok(path.clone());
    }
    let path = beside(&arguments.file);
    if !path.exists() {
        return Err(Usage(format!("there is no {}; say where it is with --receipt", path.display())).into());
    }
    Ok(path)
}

/// `users.csv` makes `users.csv.receipt.json`.
pub(super) fn beside(file: &Path) -> PathBuf {
    links::beside(file, ".receipt.json")
}

fn read_key(path: &Path) -> anyhow::Result<PublicKey> {
    PublicKey::from_pem(read(path)?.as_bytes()).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_RECEIPT).read_to_string(&mut text))
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text)
}

/// The exit code and what is said of a file.
fn said(verdict: &Verdict) -> (u8, String) {
    match verdict {
        Verdict::Unchanged { rows, bytes, mark, packed } => {
            let mark = match mark {
                None => "",
                Some(Mark::Added) => ", but for a byte order mark, which was put in front of it",
                Some(Mark::Removed) => ", but for its byte order mark, which was taken off",
            };
            let packed = packed.map_or_else(String::new, in_packing);
            (0, format!("complete and unchanged{mark}: {rows} users, {bytes} bytes{packed}"))
        }
        Verdict::Cut { rows, of_rows, bytes, of_bytes } => (
            NOT_COMPLETE,
            format!("cut after {rows} rows: {rows} of {of_rows} users, {bytes} of {of_bytes} bytes"),
        ),
        Verdict::Incomplete { outcome, rows } => {
            let rows = rows.map_or_else(String::new, |rows| format!(" after {rows} rows"));
            (NOT_COMPLETE, format!("not complete: the outcome of the export is '{outcome}'{rows}"))
        }
        Verdict::NoExport => {
            (NOT_COMPLETE, "not complete: the receipt is of a request that exported nothing".to_owned())
        }
        Verdict::Changed(Changed::Longer(bytes)) => {
            (CHANGED, format!("changed: {bytes} bytes longer than what was exported"))
        }
        Verdict::Changed(Changed::Shorter(bytes)) => {
            (CHANGED, format!("changed: {bytes} bytes shorter, but not cut; did its line ends change?"))
        }
        Verdict::Changed(Changed::Content) => {
            (CHANGED, "changed: as long as what was exported, but not the same".to_owned())
        }
        Verdict::Changed(Changed::Damaged(packing)) => (
            CHANGED,
            format!(
                "changed: it begins like a file of {}, and cannot be unpacked to its end",
                packing.name()
            ),
        ),
    }
}

/// Which of the digests of a receipt are those of a compressed file.
fn in_packing(packed: Packed) -> String {
    let name = packed.packing.name();
    match packed.is_as_written {
        None => format!(" within {name} (sha256)"),
        Some(true) => format!(" within {name}, in the file as it was written (sha256 and file_sha256)"),
        Some(false) => {
            format!(" within {name} (sha256), though not in the file that was written (file_sha256)")
        }
    }
}
