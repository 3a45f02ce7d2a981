//! The parameters of the endpoints as options, made from the table that the endpoints are made from.

use crate::cli::Usage;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use headcount_model::moment::Clock;
use headcount_model::plan::{FormatName, PARAMETERS, Parameter, ParameterError, ParameterKind};

/// What a TIME looks like, for the end of the help.
pub(super) const TIMES: &str = "TIME is a local time (2026-10-01T08:30), one with an offset (2026-10-01T08:30:00Z), a date \
    (2026-10-01), a month (2026-10), or so long ago (30d, 12h).";

/// What was given, with its value as it was written.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(&'static Parameter, String)>);

/// A preflight has a switch of its own.
fn options() -> impl Iterator<Item = &'static Parameter> {
    PARAMETERS.iter().filter(|parameter| parameter.name != "preflight")
}

impl FromArgMatches for Parameters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |parameter: &'static Parameter| {
            Some((parameter, matches.get_one::<String>(parameter.name)?.clone()))
        };
        Ok(Self(options().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Parameters {
    fn augment_args(command: Command) -> Command {
        command.args(options().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(parameter: &'static Parameter) -> Arg {
    let description = parameter.description.replace('`', "");
    let argument = Arg::new(parameter.name).long(parameter.name.replace('_', "-"));
    match parameter.kind {
        ParameterKind::Format => argument.value_name("FORMAT").help(format!(
            "{description}: {} [default: what the end of FILE says, else that of the export]",
            FormatName::NAMES.join(", ")
        )),
        ParameterKind::Word(words) => argument.value_name("WORD").help(format!(
            "{description}: {} [default: {}]",
            words.join(", "),
            words.first().unwrap_or(&"")
        )),
        ParameterKind::Text => argument.value_name("TEXT").help(description),
        ParameterKind::Address => argument.value_name("ADDRESS").help(description),
        ParameterKind::Columns => argument.value_name("NAME,…").help(description),
        ParameterKind::Count => argument.value_name("N").help(description),
        ParameterKind::Id => argument.value_name("ID").help(description).allow_hyphen_values(true),
        ParameterKind::Time => argument.value_name("TIME").help(description).allow_hyphen_values(true),
        ParameterKind::Boolean { default: None } => argument.value_name("BOOL").help(description),
        ParameterKind::Boolean { default: Some(default) } => {
            let argument = argument.value_name("BOOL").help(format!("{description} [default: {default}]"));
            // The switch alone is enough to switch something on.
            if default { argument } else { argument.num_args(0..=1).default_missing_value("true") }
        }
    }
}

/// A month, a day or a year in place of two bounds.
#[derive(Debug, Args)]
pub(super) struct Periods {
    /// Only users created in this month (2026-10), on this day (2026-10-01) or in this year
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["created_after", "created_before"])]
    created_in: Option<String>,
    /// Only users last changed in this month, on this day or in this year
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["updated_after", "updated_before"])]
    updated_in: Option<String>,
}

/// The pairs that the endpoints take, with every time in UTC.
pub(super) fn pairs(
    parameters: &Parameters,
    periods: &Periods,
    clock: &Clock,
) -> Result<Vec<(&'static str, String)>, Usage> {
    let mut pairs = Vec::new();
    for (parameter, value) in &parameters.0 {
        let value = match parameter.kind {
            ParameterKind::Time => {
                let moment =
                    clock.moment(value).map_err(|problem| Usage(option(parameter.name, &problem)))?;
                moment.to_string()
            }
            _ => value.clone(),
        };
        pairs.push((parameter.name, value));
    }
    for (name, [after, before], period) in [
        ("created_in", ["created_after", "created_before"], &periods.created_in),
        ("updated_in", ["updated_after", "updated_before"], &periods.updated_in),
    ] {
        if let Some(text) = period {
            let (from, to) = clock.period(text).map_err(|problem| Usage(option(name, &problem)))?;
            pairs.extend([(after, from.to_string()), (before, to.to_string())]);
        }
    }
    Ok(pairs)
}

/// What the plan refuses, as an error of the command line.
pub(super) fn usage(error: &ParameterError) -> Usage {
    Usage(match error {
        ParameterError::Invalid { name, problem } | ParameterError::Spaced { name, problem } => {
            option(name, problem)
        }
        error => error.to_string(),
    })
}

/// What is wrong with an option.
fn option(name: &str, problem: &str) -> String {
    let problem = problem
        .replace("'created_before'", "--created-before")
        .replace("'updated_before'", "--updated-before");
    format!("--{} {problem}", name.replace('_', "-"))
}
