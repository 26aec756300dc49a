//! Series of samples, and what they come to.

use std::time::Duration;

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Seconds since the beginning.
    pub(crate) at: f64,
    pub(crate) value: f64,
    /// The process that it is of; zero if of none.
    pub(crate) life: u32,
}

/// The samples of one thing.
#[derive(Debug, Default)]
pub(crate) struct Series(Vec<Point>);

/// What a series comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// Mean of the first quarter after the warm-up.
    pub(crate) first: f64,
    /// Mean of the last quarter.
    pub(crate) last: f64,
    pub(crate) max: f64,
    /// Growth per hour within the life of a process.
    pub(crate) slope: f64,
}

impl Series {
    pub(crate) fn push(&mut self, point: Point) {
        self.0.push(point);
    }

    pub(crate) fn last(&self) -> Option<f64> {
        self.0.last().map(|point| point.value)
    }

    /// A tenth of the time is warm-up, of the whole and, up to a minute, of each process.
    pub(crate) fn row(&self, length: Duration) -> Option<Row> {
        let (length, warm) = (length.as_secs_f64(), length.as_secs_f64() / 10.0);
        // The drain is no load.
        let loaded = self.0.iter().filter(|point| (warm..=length).contains(&point.at));
        let kept: Vec<_> = loaded.copied().collect();
        let quarter = (length - warm) / 4.0;
        let mean = |from: f64, to: f64| {
            let within = kept.iter().filter(|point| (from..to).contains(&point.at));
            mean(within.map(|point| point.value))
        };
        Some(Row {
            first: mean(warm, warm + quarter)?,
            last: mean(length - quarter, f64::INFINITY)?,
            max: kept.iter().map(|point| point.value).reduce(f64::max)?,
            slope: slope(&grown(&kept, warm.min(60.0))) * 3600.0,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The points of each life without its first seconds.
fn grown(points: &[Point], young: f64) -> Vec<Vec<Point>> {
    let lives = points.chunk_by(|a, b| a.life == b.life);
    lives
        .filter_map(|life| {
            let born = life.first()?.at;
            let of_none = life.first()?.life == 0;
            Some(life.iter().filter(|p| of_none || p.at >= born + young).copied().collect())
        })
        .collect()
}

/// The least squares' one slope of all lives, each about its own mean.
fn slope(lives: &[Vec<Point>]) -> f64 {
    let (mut both, mut squares) = (0.0, 0.0);
    for life in lives {
        let (Some(at), Some(value)) =
            (mean(life.iter().map(|p| p.at)), mean(life.iter().map(|p| p.value)))
        else {
            continue;
        };
        both += life.iter().map(|p| (p.at - at) * (p.value - value)).sum::<f64>();
        squares += life.iter().map(|p| (p.at - at).powi(2)).sum::<f64>();
    }
    if squares > 0.0 { both / squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(value: impl Fn(u32) -> (f64, u32)) -> Series {
        let points = (0..360).map(|n| {
            let (value, life) = value(n);
            Point { at: f64::from(n * 10), value, life }
        });
        Series(points.collect())
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn steady_growth_is_its_slope() {
        let row = series(|n| (f64::from(n), 0)).row(Duration::from_hours(1)).unwrap();
        assert!(near(row.slope, 360.0), "{row:?}");
        assert!(near(row.max, 359.0) && row.first < row.last, "{row:?}");
    }

    #[test]
    fn a_restart_is_no_growth_and_growth_within_lives_is_found() {
        let flat = series(|n| (if n < 180 { 10.0 } else { 20.0 }, 1 + n / 180));
        assert!(near(flat.row(Duration::from_hours(1)).unwrap().slope, 0.0));
        let saw = series(|n| (f64::from(n % 90), 1 + n / 90));
        assert!(near(saw.row(Duration::from_hours(1)).unwrap().slope, 360.0));
    }

    #[test]
    fn too_few_samples_come_to_nothing() {
        assert_eq!(Series::default().row(Duration::from_mins(1)), None);
    }
}
