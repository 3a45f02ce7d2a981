//! Personal values made less so, cell by cell.

use headcount_model::mask::{Mask, PseudonymKey};
use headcount_model::value::Value;

const REDACTED: &[u8] = b"[redacted]";

/// The masks of an export's columns, in their order.
#[derive(Clone, Debug)]
pub struct Masks {
    key: PseudonymKey,
    columns: Vec<Option<Mask>>,
    printed: Vec<u8>,
}

impl Masks {
    /// `None` if no column has one.
    pub fn of(key: &PseudonymKey, columns: impl Iterator<Item = Option<Mask>>) -> Option<Self> {
        let columns: Vec<_> = columns.collect();
        let any = columns.iter().any(Option::is_some);
        any.then(|| Self { key: key.clone(), columns, printed: Vec::new() })
    }

    /// The text to show instead of the cell in column `index`; `None` where it is shown as it is.
    pub(crate) fn masked(&mut self, index: usize, value: &Value<'_>) -> Option<&[u8]> {
        let mask = (*self.columns.get(index)?)?;
        if matches!(value, Value::Null) {
            return None;
        }
        self.printed.clear();
        value.append_to(&mut self.printed);
        match mask {
            Mask::Pseudonym => self.printed = self.key.token(&self.printed).into_bytes(),
            // Its first letter would be all of it.
            Mask::Partial if matches!(value, Value::Bool(_)) => self.printed = b"***".to_vec(),
            Mask::Partial => self.printed = partial(&self.printed),
            Mask::Last4 => self.printed = last_four(&self.printed),
            Mask::Redact => self.printed = REDACTED.to_vec(),
        }
        Some(&self.printed)
    }
}

/// What is left of a text that is shown in part: its first character, unless that is all there is, as in `j@example.com`;
/// and the domain if it is an address, with something before the `@` and a dot, but no space, behind it.
///
/// Of a telephone number its beginning, which many share, is of no use: it keeps its end, as [`last_four`] has it.
pub fn partial(text: &[u8]) -> Vec<u8> {
    if is_telephone_number(text) {
        return last_four(text);
    }
    let text = String::from_utf8_lossy(text);
    let at = text.rfind('@').filter(|at| {
        let domain = &text[*at..];
        *at > 0 && domain.contains('.') && !domain.contains(char::is_whitespace)
    });
    let (personal, domain) = at.map_or((&*text, ""), |at| text.split_at(at));
    let mut characters = personal.chars();
    let first = characters.next().filter(|_| characters.next().is_some());
    first.into_iter().chain("***".chars()).chain(domain.chars()).collect::<String>().into_bytes()
}

/// Three stars and the last four letters and digits of a text that has at least twice as many; else only the stars.
pub fn last_four(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let plain: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
    let end = if plain.len() >= 8 { &plain[plain.len() - 4..] } else { &[] };
    "***".chars().chain(end.iter().copied()).collect::<String>().into_bytes()
}

/// Digits as ITU-T E.123 (section 2) writes them: with the international prefix `+`, or with a trunk prefix or an area code, and
/// with what may stand between them. A number that is only a number is not one.
fn is_telephone_number(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+()-./ ".contains(byte);
    (7..=15).contains(&digits) && text.iter().all(is_part) && matches!(text.first(), Some(b'+' | b'(' | b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(mask: Mask, value: Value<'_>) -> Option<String> {
        let mut masks = Masks::of(&PseudonymKey::new(&[7; 32]), [None, Some(mask)].into_iter())?;
        masks.masked(1, &value).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    #[test]
    fn partial_shows_a_character_and_the_domain() {
        for (text, shown) in [
            ("jane@example.com", "j***@example.com"),
            ("j@example.com", "***@example.com"),
            ("Ärzte", "Ä***"),
            ("\"a@b\"@example.com", "\"***@example.com"),
            ("@jane1", "@***"),
            ("jane @ home", "j***"),
            ("x", "***"),
            ("", "***"),
        ] {
            assert_eq!(masked(Mask::Partial, text.into()).as_deref(), Some(shown));
        }
    }

    #[test]
    fn nothing_of_a_boolean_is_shown_in_part() {
        for value in [true, false] {
            assert_eq!(masked(Mask::Partial, Value::Bool(value)).as_deref(), Some("***"));
        }
    }

    #[test]
    fn of_a_number_the_end_is_shown() {
        for (text, partial, last) in [
            ("+49 151 2345678", "***5678", "***5678"),
            ("(0151) 234-5678", "***5678", "***5678"),
            ("+1234567", "***", "***"),
            ("DE02120300000000202051", "D***", "***2051"),
            ("4711", "4***", "***"),
            ("12345678", "1***", "***5678"),
            ("+cmd|' /C calc'!A0", "+***", "***lcA0"),
        ] {
            assert_eq!(masked(Mask::Partial, text.into()).as_deref(), Some(partial));
            assert_eq!(masked(Mask::Last4, text.into()).as_deref(), Some(last));
        }
    }

    #[test]
    fn a_pseudonym_is_the_start_of_the_hmac() {
        // Python: hmac.new(bytes([7] * 32), b"jane@example.com", "sha256").hexdigest()[:32]
        let token = masked(Mask::Pseudonym, "jane@example.com".into());
        assert_eq!(token.as_deref(), Some("805d462cb2ab8c4c1bed35895911194c"));
        assert_eq!(masked(Mask::Pseudonym, Value::Int(17)), masked(Mask::Pseudonym, "17".into()));
        assert_eq!(format!("{:?}", PseudonymKey::new(&[7; 32])), "PseudonymKey(…)");
    }

    #[test]
    fn nothing_of_a_redacted_value_is_left_and_null_stays_null() {
        assert_eq!(masked(Mask::Redact, Value::Bool(true)).as_deref(), Some("[redacted]"));
        for mask in Mask::ALL {
            assert_eq!(masked(mask, Value::Null), None);
        }
    }

    #[test]
    fn columns_without_a_mask_are_left_alone() {
        let key = PseudonymKey::new(&[7; 32]);
        assert!(Masks::of(&key, [None, None].into_iter()).is_none());
        let masks = Masks::of(&key, [None, Some(Mask::Redact)].into_iter());
        assert!(masks.is_some_and(|mut masks| masks.masked(0, &Value::Int(1)).is_none()));
    }
}
