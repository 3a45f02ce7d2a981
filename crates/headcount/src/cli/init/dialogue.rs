//! Questions, on a terminal; elsewhere nobody is asked.

use crate::cli::Usage;
use crate::cli::terminal::{self, tell};
use anyhow::{Context, bail};
use headcount_model::text::visible;
use std::io::{BufRead, IsTerminal};

/// How often somebody may answer what cannot be understood.
const TRIES: usize = 3;

pub(super) struct Dialogue {
    asks: bool,
}

impl Dialogue {
    pub(super) fn new(yes: bool) -> Self {
        Self { asks: !yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() }
    }

    /// Which of these that a problem leaves; the remedy is what one gives on the command line instead.
    pub(super) fn choose(
        &mut self,
        problem: &str,
        answers: &[String],
        remedy: &str,
    ) -> anyhow::Result<usize> {
        if !self.asks {
            let list = answers.iter().map(|answer| format!("\n  {}", visible(answer))).collect::<String>();
            return Err(Usage(format!("{problem}; say which with {remedy}:{list}")).into());
        }
        tell!("");
        tell!("{problem}. Which one is it?");
        for (number, answer) in (1..).zip(answers) {
            tell!("  {number}  {answer}");
        }
        for _ in 0..TRIES {
            let answer = ask(&format!("1 to {}: ", answers.len()), remedy)?;
            match answer.parse::<usize>() {
                Ok(number) if (1..=answers.len()).contains(&number) => return Ok(number - 1),
                _ => tell!("expected a number from 1 to {}", answers.len()),
            }
        }
        bail!("no answer that could be understood; answer with {remedy}")
    }

    /// Yes or no; yes where nobody is asked.
    pub(super) fn agrees(&mut self, question: &str) -> anyhow::Result<bool> {
        if !self.asks {
            return Ok(true);
        }
        let answer = ask(&format!("{question} [Y/n] "), "--yes")?.to_lowercase();
        Ok(matches!(answer.as_str(), "" | "y" | "yes"))
    }
}

/// An answer; the remedy is what one gives on the command line instead.
fn ask(prompt: &str, remedy: &str) -> anyhow::Result<String> {
    terminal::prompt(prompt)?;
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).context("the answer cannot be read")?;
    if read == 0 {
        bail!("no answer; answer with {remedy}");
    }
    Ok(line.trim().to_owned())
}
