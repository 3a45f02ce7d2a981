//! Users to try things with: always the same for the same number, and as odd as real ones.

use headcount_model::timestamp::Timestamp;
use headcount_source::embedded::{EmbeddedError, EmbeddedUsers, User};

/// Most names are plain Latin, as in most applications; the others are where bytes and characters differ.
#[rustfmt::skip]
const GIVEN: [&str; 32] = [
    "Ada", "Grace", "Alan", "Barbara", "Edsger", "Frances", "Ken", "Margaret", "Dennis", "Radia", "Tim", "Katherine",
    "Donald", "Karen", "John", "Mary", "Linus", "Annie", "Zoë", "Søren", "Łukasz", "Ángel", "Çağla", "Ольга", "Ελένη",
    "محمد", "נועה", "राहुल", "สมชาย", "美咲", "伟", "민준",
];
#[rustfmt::skip]
const FAMILY: [&str; 28] = [
    "Lovelace", "Hopper", "Turing", "Liskov", "Dijkstra", "Allen", "Thompson", "Hamilton", "Ritchie", "Perlman",
    "Johnson", "Knuth", "Jones", "Smith", "Backus", "Easley", "Müller", "Kierkegård", "Wiśniewski", "García", "Yılmaz",
    "Иванова", "Παπαδοπούλου", "علي", "כהן", "शर्मा", "佐藤", "김",
];
#[rustfmt::skip]
const DOMAINS: [&str; 8] = [
    "example.com", "example.org", "example.net", "mail.example.com", "example.com", "example.org", "corp.example",
    "bücher.example",
];

/// 2020-01-01T00:00:00Z in microseconds since 1970.
const FIRST_SIGN_UP: i64 = 1_577_836_800_000_000;
const FIVE_YEARS: u64 = 5 * 365 * 86_400 * 1_000_000;

/// Adds the sample users 1 to `count`.
///
/// # Errors
///
/// The embedded table cannot be written.
pub fn fill(users: &mut EmbeddedUsers, count: u32) -> Result<(), EmbeddedError> {
    let loading = users.load()?;
    for id in 1..=i64::from(count) {
        let mut random = Random(id.cast_unsigned());
        let email = email(id, &mut random);
        let name = name(&mut random);
        let created_at = moment(FIRST_SIGN_UP, FIVE_YEARS, &mut random);
        let updated_at =
            created_at.and_then(|created| moment(created.micros(), FIVE_YEARS / 10, &mut random));
        loading.add(&User {
            id,
            email: Some(&email),
            name: name.as_deref(),
            created_at,
            updated_at: updated_at.filter(|_| random.below(20) != 0),
            is_active: Some(random.below(10) != 0),
            is_admin: Some(random.below(100) == 0),
        })?;
    }
    loading.commit()
}

fn email(id: i64, random: &mut Random) -> String {
    let local = match random.below(12) {
        0 => "o'connor",
        1 => "first.last",
        2 => "+tagged",
        3 => "UPPER.case",
        _ => "user",
    };
    format!("{local}{id}@{}", random.pick(&DOMAINS))
}

fn name(random: &mut Random) -> Option<String> {
    let (given, family) = (random.pick(&GIVEN), random.pick(&FAMILY));
    Some(match random.below(40) {
        0 => return None,
        1 => format!("{family}, {given}"),
        2 => format!("{given} \"Ace\" {family}"),
        3 => format!("{given}\n{family}"),
        4 => format!("=HYPERLINK(\"https://example.com\",\"{given}\")"),
        5 => format!("@{given}"),
        6 => format!("'{given} {family}'"),
        7 => format!("- {given}"),
        _ => format!("{given} {family}"),
    })
}

/// A moment within `span` microseconds after `start`; every third is on the second.
fn moment(start: i64, span: u64, random: &mut Random) -> Option<Timestamp> {
    let micros = start + random.below(span).cast_signed();
    Timestamp::from_micros(if random.below(3) == 0 { micros - micros.rem_euclid(1_000_000) } else { micros })
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014), seeded by the id, so that a
/// user is the same in a table of any size.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; the bias is far below what a sample could show.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}
