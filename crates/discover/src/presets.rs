//! What known frameworks and products call their users: how each is recognised, and what its columns mean.

mod frameworks;
mod products;

use super::{Ambiguous, Confidence, Field, Mapped, Origin, Subject, Suggestion, TimestampEncoding, guess};
use headcount_source::catalogue::{Catalogue, Database, Table};

/// A users table that is known.
#[derive(Debug)]
pub struct Preset {
    /// For `--preset`.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// The one database it runs on, or both.
    database: Option<Database>,
    /// The schema, or any.
    schema: Option<&'static str>,
    /// What the table may be called; empty: anything.
    tables: &'static [&'static str],
    /// Columns that it must have.
    columns: &'static [&'static str],
    /// Tables beside it, in the same schema: one of each group must be there.
    companions: &'static [&'static [&'static str]],
    /// Whether recognising it decides which table it is. If not, it only says how to read the table.
    decides: bool,
    /// The rules of each field; the first that applies wins.
    fields: [(Field, &'static [Rule]); 7],
    pub timestamps: TimestampEncoding,
    condition: Option<Remark>,
    suggestions: &'static [Remark],
    /// What else to know, for a comment in the file.
    pub notes: &'static [&'static str],
    /// Columns of other tables that its expressions read.
    pub reads: &'static [(&'static str, &'static [&'static str])],
}

/// One way to fill a field.
#[derive(Debug)]
struct Rule {
    /// Columns that the table must have for it.
    needs: &'static [&'static str],
    from: Source,
    reason: &'static str,
}

#[derive(Debug)]
enum Source {
    Column(&'static str),
    Sql(&'static str),
    /// As in an unknown table.
    Guess,
    /// The same, but for NULL, which stays what it is.
    GuessAsIs,
    Nothing,
}

/// A condition with what it does.
#[derive(Debug)]
struct Remark {
    needs: &'static [&'static str],
    comment: &'static str,
    sql: &'static str,
}

/// All of them. The more special go first: a product is built on a framework.
pub fn all() -> impl Iterator<Item = &'static Preset> {
    products::PRESETS.iter().chain(frameworks::PRESETS)
}

/// The preset of this name.
pub fn by_name(name: &str) -> Option<&'static Preset> {
    all().find(|preset| preset.name == name)
}

/// The first preset that decides, with every table that it fits.
pub fn recognise(catalogue: &Catalogue) -> Option<(&'static Preset, Vec<&Table>)> {
    all().filter(|preset| preset.decides).find_map(|preset| {
        let tables: Vec<_> =
            catalogue.tables.iter().filter(|table| preset.misfit(catalogue, table).is_none()).collect();
        (!tables.is_empty()).then_some((preset, tables))
    })
}

/// The first preset that fits a table that is already chosen.
pub fn for_table(catalogue: &Catalogue, table: &Table) -> Option<&'static Preset> {
    all().find(|preset| preset.misfit(catalogue, table).is_none())
}

impl Preset {
    /// Why a table is not this preset's; `None` if it is.
    pub fn misfit(&self, catalogue: &Catalogue, table: &Table) -> Option<String> {
        let misnamed = !self.tables.is_empty() && !self.tables.contains(&table.name.name());
        if misnamed || self.schema.is_some_and(|schema| table.name.schema() != Some(schema)) {
            return Some(format!("its table is {}", self.tables.join(" or ")));
        }
        self.missing(catalogue, table)
    }

    /// What a table lacks for this preset, whatever it is called.
    pub fn missing(&self, catalogue: &Catalogue, table: &Table) -> Option<String> {
        if self.database.is_some_and(|database| database != catalogue.database) {
            return Some("it runs on PostgreSQL only".to_owned());
        }
        if let Some(column) = self.columns.iter().find(|column| table.column(column).is_none()) {
            return Some(format!("table {} has no column {column}", table.name));
        }
        let group = self.companions.iter().find(|group| companion(catalogue, table, group).is_none())?;
        Some(format!("there is no table {} beside {}", group.join(" or "), table.name))
    }

    /// By what it was recognised.
    pub fn evidence(&self, catalogue: &Catalogue, table: &Table) -> String {
        let mut evidence = format!("table {} with the columns {}", table.name, self.columns.join(", "));
        if let Some(beside) = self.companions.iter().find_map(|group| companion(catalogue, table, group)) {
            evidence.push_str(&format!(", beside {beside}"));
        }
        evidence
    }

    /// A field by the rules.
    ///
    /// # Errors
    ///
    /// A rule leaves it to the names, and two columns are equally good.
    pub(super) fn map(&self, field: Field, subject: Subject<'_>) -> Result<Option<Mapped>, Ambiguous> {
        let rules = self.fields.iter().find(|(known, _)| *known == field).map_or(&[][..], |(_, rules)| rules);
        for rule in rules.iter().filter(|rule| has_all(subject.table, rule.needs)) {
            let from = match rule.from {
                Source::Column(name) => Origin::Column(name.to_owned()),
                Source::Sql(sql) => Origin::Sql(sql.to_owned()),
                Source::Nothing => Origin::Nothing,
                Source::Guess | Source::GuessAsIs => match guess::field(field, subject)? {
                    Some(mut mapped) => {
                        if let (Source::GuessAsIs, Some(column)) = (&rule.from, mapped.but_for_null.take()) {
                            mapped.from = Origin::Column(column);
                            mapped.reason = mapped.reason.replace("; NULL counts as no", "");
                        }
                        return Ok(Some(mapped));
                    }
                    None => continue,
                },
            };
            let reason = match rule.reason {
                "" => format!("what {} calls it", self.title),
                reason => reason.to_owned(),
            };
            return Ok(Some(Mapped::new(field, from, Confidence::High, reason)));
        }
        Ok(None)
    }

    pub(super) fn condition(&self, table: &Table) -> Option<Suggestion> {
        self.condition.as_ref().and_then(|remark| remark.of(table))
    }

    pub(super) fn suggestions(&self, table: &Table) -> Vec<Suggestion> {
        self.suggestions.iter().filter_map(|remark| remark.of(table)).collect()
    }
}

impl Remark {
    fn of(&self, table: &Table) -> Option<Suggestion> {
        let condition = || Suggestion { comment: self.comment.to_owned(), sql: self.sql.to_owned() };
        has_all(table, self.needs).then(condition)
    }
}

/// Which of these tables is in the schema of this one.
fn companion(catalogue: &Catalogue, table: &Table, group: &[&'static str]) -> Option<&'static str> {
    let is_there = |name: &&str| {
        let mut tables = catalogue.tables.iter();
        tables.any(|other| other.name.name() == *name && other.name.schema() == table.name.schema())
    };
    group.iter().copied().find(is_there)
}

fn has_all(table: &Table, columns: &[&str]) -> bool {
    columns.iter().all(|column| table.column(column).is_some())
}

/// A column that the preset's table always has.
const fn column(name: &'static str) -> Rule {
    Rule { needs: &[], from: Source::Column(name), reason: "" }
}

/// A column that the table may have.
const fn column_if(needs: &'static [&'static str], name: &'static str) -> Rule {
    Rule { needs, from: Source::Column(name), reason: "" }
}

const fn sql(needs: &'static [&'static str], sql: &'static str, reason: &'static str) -> Rule {
    Rule { needs, from: Source::Sql(sql), reason }
}

const fn nothing(reason: &'static str) -> Rule {
    Rule { needs: &[], from: Source::Nothing, reason }
}

const GUESS_AS_IS: Rule = Rule { needs: &[], from: Source::GuessAsIs, reason: "" };
const GUESS: Rule = Rule { needs: &[], from: Source::Guess, reason: "" };

#[cfg(test)]
mod tests;
