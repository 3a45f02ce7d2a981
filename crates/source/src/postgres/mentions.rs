//! Which tables, columns, functions and schemas SQL names, as far as its text tells. Where that leaves a doubt it would rather see a
//! name too many.

use super::tokens::{Token, tokens};
use std::collections::BTreeSet;

/// The names in a piece of SQL.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    names: Vec<Mention>,
    /// A table's name, and another one that it has there.
    aliases: Vec<(String, String)>,
    /// Whether there is a `*`, or a `NATURAL`, which stand for columns of whatever is read there.
    has_star: bool,
}

/// One name.
#[derive(Debug)]
struct Mention {
    /// What stands before its dot.
    before: Option<String>,
    name: String,
    follower: Follower,
    /// Whether all of it is meant, should it be a table.
    is_row: bool,
}

/// What comes after a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follower {
    Dot,
    Parenthesis,
    Other,
}

/// A table or view as the catalogue has it.
pub(super) struct Relation<'a> {
    pub(super) schema: &'a str,
    pub(super) name: &'a str,
}

impl Mentions {
    pub(super) fn in_sql(sql: &str) -> Self {
        let (tokens, mut mentions, mut clauses) = (tokens(sql), Self::default(), Clauses(vec![false]));
        for at in 0..tokens.len() {
            clauses.pass(&tokens, at);
            mentions.note_star(&tokens, at);
            mentions.note_name(&tokens, at, clauses.list_tables());
        }
        mentions
    }

    /// Notes what stands for columns that are not named: `*`, and what a `NATURAL JOIN` compares.
    fn note_star(&mut self, tokens: &[Token], at: usize) {
        let token = &tokens[at];
        self.has_star |= token.is_word("natural");
        if !matches!(token, Token::Operator(operator) if operator == "*") {
            return;
        }
        if let ([.., Token::Word(_) | Token::Quoted(_), Token::Mark('.')], Some(table)) =
            (&tokens[..at], self.names.last_mut())
        {
            table.is_row = true;
            return;
        }
        // Elsewhere it multiplies, or counts.
        let is_of_list = tokens[..at].last().is_some_and(begins_list);
        self.has_star |= is_of_list || tokens.get(at + 1).is_some_and(|after| after.is_word("from"));
    }

    /// Notes a name, and the other name that a table gets there.
    fn note_name(&mut self, tokens: &[Token], at: usize, lists_tables: bool) {
        let Some(name) = tokens[at].name() else { return };
        let (before, lead) = match &tokens[..at] {
            [lead @ .., before, Token::Mark('.')] => (before.name(), lead.last()),
            lead => (None, lead.last()),
        };
        let follower = match tokens.get(at + 1) {
            Some(Token::Mark('.')) => Follower::Dot,
            Some(Token::Mark('(')) => Follower::Parenthesis,
            _ => Follower::Other,
        };
        let alias_at = at + if tokens.get(at + 1).is_some_and(|after| after.is_word("as")) { 2 } else { 1 };
        let alias = tokens.get(alias_at).and_then(Token::name);

        let is_listed = lists_tables && lead.is_some_and(leads_to_table);
        let is_value = before.is_none() && lead.is_none_or(leads_to_value) && !is_listed;
        let is_whole_table = lead.is_some_and(|lead| lead.is_word("table"));
        // Behind another name of a table its columns may have others, too.
        let is_renamed = is_listed && alias.is_some() && tokens.get(alias_at + 1) == Some(&Token::Mark('('));
        let is_row = follower == Follower::Other && (is_value || is_whole_table || is_renamed);
        self.aliases.extend(alias.map(|alias| (name.clone(), alias)));
        self.names.push(Mention { before, name, follower, is_row });
    }

    /// Whether a table is named, and not only its columns.
    pub(super) fn has_table(&self, table: &Relation<'_>) -> bool {
        self.names.iter().any(|mention| mention.is_table(table) && mention.follower != Follower::Parenthesis)
    }

    /// Whether a column of a table is named, or all of them are meant.
    pub(super) fn has_column(&self, table: &Relation<'_>, column: &str) -> bool {
        let is_called = |name: &str| {
            let mut aliases = self.aliases.iter();
            name == table.name || aliases.any(|(of, alias)| of == table.name && alias == name)
        };
        let is_listed = |mention: &Mention| mention.is_table(table) && mention.follower == Follower::Other;
        let has_all = self.has_star && self.names.iter().any(is_listed)
            || self.names.iter().any(|mention| mention.is_row && is_called(&mention.name));
        let is_column = |mention: &Mention| {
            mention.name == column
                && mention.follower == Follower::Other
                && mention.before.as_deref().is_none_or(is_called)
        };
        has_all || self.names.iter().any(is_column)
    }

    /// The functions, each with its schema, if that is written.
    pub(super) fn called(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        let called = self.names.iter().filter(|mention| mention.follower == Follower::Parenthesis);
        called.map(|mention| (mention.before.as_deref(), mention.name.as_str()))
    }

    /// What stands before a dot: schemas, tables and other names that they have there.
    pub(super) fn qualifiers(&self) -> BTreeSet<&str> {
        let is_first = |mention: &&Mention| mention.follower == Follower::Dot && mention.before.is_none();
        self.names.iter().filter(is_first).map(|mention| mention.name.as_str()).collect()
    }
}

/// Whether tables are listed, as behind `FROM`, at each of the parentheses around.
struct Clauses(Vec<bool>);

impl Clauses {
    fn list_tables(&self) -> bool {
        self.0.last() == Some(&true)
    }

    /// Goes on to a token.
    fn pass(&mut self, tokens: &[Token], at: usize) {
        let token = &tokens[at];
        match token {
            // Those of a function have a name before them.
            Token::Mark('(') => {
                self.0.push(self.list_tables() && tokens[..at].last().is_some_and(leads_to_table))
            }
            Token::Mark(')') => drop(self.0.pop()),
            _ => {
                let Some(lists) = self.0.last_mut() else { return };
                let begins = token.is_one_of(&["from", "join"]);
                let ends = token.is_one_of(&ENDS_TABLES);
                *lists = begins || *lists && !ends;
            }
        }
    }
}

impl Mention {
    fn is_table(&self, table: &Relation<'_>) -> bool {
        self.name == table.name && self.before.as_deref().is_none_or(|schema| schema == table.schema)
    }
}

/// What ends a list of tables.
const ENDS_TABLES: [&str; 14] = [
    "select",
    "where",
    "on",
    "using",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "offset",
    "fetch",
    "union",
    "intersect",
    "except",
];

/// Words that a value may follow.
const BEFORE_VALUES: [&str; 20] = [
    "select", "distinct", "all", "where", "on", "and", "or", "not", "case", "when", "then", "else", "by",
    "having", "in", "is", "like", "ilike", "between", "from",
];

/// Whether what follows is a table, in a list of them.
fn leads_to_table(token: &Token) -> bool {
    matches!(token, Token::Mark('(' | ',')) || token.is_one_of(&["from", "join", "only", "lateral"])
}

/// Whether what follows is a value, and no second name of what stands before it.
fn leads_to_value(token: &Token) -> bool {
    match token {
        Token::Operator(_) | Token::Mark('(' | ',' | '[') => true,
        word => word.is_one_of(&BEFORE_VALUES),
    }
}

/// Whether an item of the list that a subquery selects may follow.
fn begins_list(token: &Token) -> bool {
    *token == Token::Mark(',') || token.is_one_of(&["select", "distinct", "all"])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: Relation<'_> = Relation { schema: "crm", name: "roles" };
    const USERS: Relation<'_> = Relation { schema: "public", name: "users" };

    fn columns(sql: &str, table: &Relation<'_>) -> String {
        let mentions = Mentions::in_sql(sql);
        let columns = ["id", "user_id", "name", "token"];
        columns.into_iter().filter(|column| mentions.has_column(table, column)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_column_is_of_the_table_before_its_dot() {
        for (sql, roles, users) in [
            (
                "EXISTS (SELECT 1 FROM crm.roles r WHERE r.user_id = users.id AND R.name = 'token')",
                "user_id name",
                "id",
            ),
            (
                "EXISTS (SELECT FROM crm.roles AS \"R\" WHERE \"R\".user_id = public.users.id)",
                "user_id",
                "id",
            ),
            ("(SELECT max(token) FROM roles WHERE roles.user_id = users.id)", "user_id token", "id token"),
            ("name(token)", "token", "token"),
            ("'token' || id -- name", "id", "id"),
        ] {
            assert_eq!(columns(sql, &ROLES), roles, "{sql}");
            assert_eq!(columns(sql, &USERS), users, "{sql}");
        }
    }

    #[test]
    fn a_whole_row_is_all_its_columns() {
        for sql in [
            "EXISTS (SELECT * FROM crm.roles WHERE true)",
            "EXISTS (SELECT 1, r.* FROM crm.roles r)",
            "(SELECT count(x) FROM (TABLE crm.roles) x)",
            "(SELECT to_jsonb(r) FROM crm.roles r)::text",
            "(SELECT f(1, r) FROM crm.roles AS r)",
            "(SELECT r::text FROM crm.roles r)",
            "EXISTS (SELECT FROM crm.roles AS x (a, b, c) WHERE x.b = 'root')",
            "(SELECT 1, r::text FROM crm.roles r)",
            "(SELECT r AS x FROM crm.roles r)",
            "(SELECT json_agg(r ORDER BY 1) FROM crm.roles r WHERE true)",
            "EXISTS (SELECT FROM crm.roles r WHERE r IS NOT NULL)",
            "EXISTS (SELECT FROM (crm.roles r JOIN users u ON true) WHERE 'x' = r::text)",
            "EXISTS (SELECT FROM crm.roles NATURAL JOIN users)",
        ] {
            assert_eq!(columns(sql, &ROLES), "id user_id name token", "{sql}");
        }
        for sql in [
            "NOT EXISTS (SELECT FROM crm.roles)",
            "(SELECT count(*) * 2 FROM users, crm.roles) > 3 * 1",
            "(SELECT count(*) FROM users u JOIN roles AS r ON true)",
            "EXISTS (SELECT FROM users u, roles r, (users x CROSS JOIN roles) WHERE true)",
            "EXISTS (SELECT 1 FROM ONLY roles UNION SELECT 2 FROM roles r)",
        ] {
            assert_eq!(columns(sql, &ROLES), "", "{sql}");
            assert!(Mentions::in_sql(sql).has_table(&ROLES), "{sql}");
        }
    }

    #[test]
    fn schemas_are_before_a_dot() {
        let sql = "app.is_member(u.id) AND kind::ext.citext OPERATOR(ops.=) lower('x') AND EXISTS (SELECT FROM crm.roles u)";
        let mentions = Mentions::in_sql(sql);
        assert_eq!(mentions.qualifiers(), BTreeSet::from(["app", "crm", "ext", "ops", "u"]));
        let called: Vec<_> =
            mentions.called().filter(|(_, name)| !["operator", "exists"].contains(name)).collect();
        assert_eq!(called, [(Some("app"), "is_member"), (None, "lower")]);
    }
}
