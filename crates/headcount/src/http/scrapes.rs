//! The metrics as text, of which few are in memory however many ask for them and take nothing.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many texts that nobody has taken yet are what a monitor may leave behind.
const USUAL: usize = 8;

/// The texts that were made lately.
#[derive(Default)]
pub(super) struct Scrapes {
    last: Mutex<Option<(Instant, Bytes)>>,
    /// Held by every text that is still in memory.
    texts: Arc<()>,
}

struct Text {
    text: String,
    _counted: Arc<()>,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Scrapes {
    /// A text that is new; or where many wait to be taken the last one, which may be the older the more there are: a second for
    /// every eight. So their number grows with the root of the time that they are kept.
    pub(super) fn text(&self, make: impl FnOnce() -> String) -> Bytes {
        let mut last = self.last.lock();
        let kept = Arc::strong_count(&self.texts) - 1;
        let lifetime = Duration::from_secs((kept / USUAL) as u64);
        if let Some((_, text)) = last.as_ref().filter(|(made_at, _)| made_at.elapsed() < lifetime) {
            return text.clone();
        }
        let text = Bytes::from_owner(Text { text: make(), _counted: Arc::clone(&self.texts) });
        *last = Some((Instant::now(), text.clone()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_new_unless_many_are_kept() {
        let scrapes = Scrapes::default();
        let mut number = 0;
        let mut scrape = || {
            scrapes.text(|| {
                number += 1;
                number.to_string()
            })
        };
        let mut kept: Vec<_> = (0..USUAL).map(|_| scrape()).collect();
        assert_eq!(kept.iter().map(|text| text[0] - b'0').max(), Some(8), "each is new");
        kept.extend((0..1000).map(|_| scrape()));
        assert!(kept.iter().skip(USUAL).all(|text| text == "8"), "they share one");
        kept.clear();
        assert_eq!(scrape(), "9");
    }
}
