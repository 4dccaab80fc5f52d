//! Usage per day as a drawing: bars of uses, and of refusals above them. A table beside it has the same for those who
//! do not see it.

use crate::domain::{Day, Timestamp};
use crate::manage::usage::{KeyUsage, Outcomes};

/// The days that are drawn.
pub const DAYS: u16 = 30;

/// In units of the drawing.
pub const WIDTH: i64 = 600;
const HEIGHT: i64 = 120;
const STEP: i64 = WIDTH / DAYS as i64;
const BAR: i64 = STEP - 6;

/// The drawing.
pub struct Chart {
    /// A bar for each day, oldest first.
    pub bars: Vec<Bar>,
    /// The highest day.
    pub most: i64,
    /// Uses on all days.
    pub uses: i64,
    /// Refusals on all days.
    pub refused: i64,
}

/// A day.
pub struct Bar {
    /// The day.
    pub day: Day,
    /// Uses.
    pub uses: i64,
    /// Refusals.
    pub refused: i64,
    /// Where it begins from the left.
    pub x: i64,
    /// How high its uses are.
    pub uses_height: i64,
    /// How high its refusals are, which stand on them.
    pub refused_height: i64,
}

impl Chart {
    /// Draws the usage up to `now`.
    pub fn of(usage: &KeyUsage, now: Timestamp) -> Self {
        let today = Day::from(now);
        let days: Vec<_> = (0..DAYS).rev().map(|back| today.minus(back)).map(|day| (day, counts(usage, day))).collect();
        let most = days.iter().map(|(_, (uses, refused))| uses + refused).max().unwrap_or_default();
        let bars = days.iter().zip(0..).map(|((day, (uses, refused)), position)| Bar {
            day: *day,
            uses: *uses,
            refused: *refused,
            x: position * STEP + (STEP - BAR) / 2,
            uses_height: height(*uses, most),
            refused_height: height(*refused, most),
        });
        let (uses, refused) = (usage.total.exchanges, refused(&usage.total));
        Self { bars: bars.collect(), most, uses, refused }
    }

    /// The days on which something happened, newest first.
    pub fn used_days(&self) -> impl Iterator<Item = &Bar> {
        self.bars.iter().rev().filter(|bar| bar.uses + bar.refused > 0)
    }
}

impl Bar {
    /// Where its uses begin from above.
    pub fn uses_y(&self) -> i64 {
        HEIGHT - self.uses_height
    }

    /// Where its refusals begin from above.
    pub fn refused_y(&self) -> i64 {
        self.uses_y() - self.refused_height
    }
}

fn counts(usage: &KeyUsage, day: Day) -> (i64, i64) {
    usage.days.get(&day).map_or((0, 0), |outcomes| (outcomes.exchanges, refused(outcomes)))
}

fn refused(outcomes: &Outcomes) -> i64 {
    outcomes.refusals.values().sum()
}

/// What happened at all is seen, however little it is beside the most.
fn height(count: i64, most: i64) -> i64 {
    if count == 0 { 0 } else { (count.saturating_mul(HEIGHT - 20) / most.max(1)).max(2) }
}

#[cfg(test)]
mod tests {
    use super::height;

    #[test]
    fn what_happened_is_seen() {
        assert_eq!([height(0, 9), height(9, 9), height(1, 1_000_000)], [0, 100, 2]);
        assert_eq!(height(0, 0), 0);
    }
}
