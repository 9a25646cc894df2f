//! GPUs from a TOML file: new ones, or new figures for known ones.

use std::path::Path;

use super::gpu::{GPUS, GpuPrice, PlanGpu};
use super::report::date;
use crate::{Error, Result, input_file};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gpu: Vec<Entry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    memory_gib: Option<f64>,
    bandwidth_gbps: Option<f64>,
    tflops: Option<f64>,
    price: Option<f64>,
    price_date: Option<Day>,
    price_source: Option<String>,
}

/// A day, as text or as a date of TOML.
#[derive(Clone, serde::Deserialize)]
#[serde(untagged)]
enum Day {
    Text(String),
    Date(toml::value::Datetime),
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Date(date) => date.fmt(f),
        }
    }
}

/// Reads `[[gpu]]` tables: `name`, `memory_gib`, `bandwidth_gbps`, `tflops`, `price` (USD per
/// hour), `price_date`, `price_source`. What a known GPU's table does not say stays as it is.
pub fn read_gpus(path: &Path) -> Result<Vec<PlanGpu>> {
    let text = input_file::read_text(path, input_file::GPUS)?;
    let file: File = toml::from_str(&text).map_err(|cause| {
        let place = cause.message().trim().replace('\n', " ");
        Error::input(format!("{}: expected [[gpu]] tables, found {place}", path.display()))
    })?;
    if file.gpu.is_empty() {
        return Err(Error::input(format!("{}: it has no [[gpu]] table", path.display())));
    }
    file.gpu.into_iter().map(|entry| entry.gpu(&path.display().to_string())).collect()
}

impl Entry {
    fn gpu(self, origin: &str) -> Result<PlanGpu> {
        let known = GPUS.iter().find(|gpu| gpu.name == self.name).map(PlanGpu::from);
        let wrong = |key: &str, what: &str| {
            Error::input(format!("{origin}: GPU `{}`: `{key}` {what}", self.name))
        };
        if self.name.trim().is_empty() {
            return Err(wrong("name", "is empty"));
        }
        if self.name.contains([',', '=']) {
            return Err(wrong(
                "name",
                "has a comma or `=`, which --gpu and --price read as their own",
            ));
        }
        let figure =
            |key: &str, given: Option<f64>, known: Option<f64>, most: f64| match given.or(known) {
                Some(value) if value > 0.0 && value <= most => Ok(Some(value)),
                Some(value) => {
                    Err(wrong(key, &format!("must be above 0 and at most {most}, not {value}")))
                }
                None => Ok(None),
            };
        let needed = |key: &str, value: Result<Option<f64>>| {
            value?.ok_or_else(|| wrong(key, "is missing, and no GPU of this name is known"))
        };
        let of = |pick: fn(&PlanGpu) -> f64| known.as_ref().map(pick);
        let memory = figure("memory_gib", self.memory_gib, of(|gpu| gpu.memory_gib), 1e5);
        let bandwidth =
            figure("bandwidth_gbps", self.bandwidth_gbps, of(|gpu| gpu.bandwidth_gbps), 1e6);
        let price = match self.price {
            None if self.price_date.is_some() || self.price_source.is_some() => {
                return Err(wrong("price", "is missing beside its date or source"));
            }
            None => known.as_ref().and_then(|gpu| gpu.price.clone()),
            Some(price) => {
                figure("price", Some(price), None, 1e5)?;
                let Some(as_of) = self.price_date.as_ref().map(Day::to_string) else {
                    return Err(wrong("price_date", "is missing: a price has a date, YYYY-MM-DD"));
                };
                date(&as_of).map_err(|what| wrong("price_date", &what))?;
                let source = self.price_source.clone().unwrap_or_else(|| origin.to_owned());
                Some(GpuPrice { usd_per_hour: price, as_of, source })
            }
        };
        let tflops = known.as_ref().and_then(|gpu| gpu.tflops);
        Ok(PlanGpu {
            memory_gib: needed("memory_gib", memory)?,
            bandwidth_gbps: needed("bandwidth_gbps", bandwidth)?,
            tflops: figure("tflops", self.tflops, tflops, 1e6)?,
            price,
            name: self.name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<PlanGpu>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gpus.toml");
        std::fs::write(&path, text).unwrap();
        read_gpus(&path)
    }

    #[test]
    fn a_file_changes_known_gpus_and_adds_others() {
        let gpus = read(
            "[[gpu]]\nname = 'h100-sxm'\nprice = 2.1\nprice_date = '2026-11-20'\nprice_source = 'our contract'\n\
             [[gpu]]\nname = 'own'\nmemory_gib = 10\nbandwidth_gbps = 500\n",
        )
        .unwrap();
        let price = gpus[0].price.as_ref().unwrap();
        assert_eq!((gpus[0].memory_gib, price.usd_per_hour), (79.6, 2.1));
        assert_eq!((price.as_of.as_str(), price.source.as_str()), ("2026-11-20", "our contract"));
        let dated = "[[gpu]]\nname = 'l4'\nprice = 0.7\nprice_date = 2026-11-20\n";
        assert_eq!(read(dated).unwrap()[0].price.as_ref().unwrap().as_of, "2026-11-20");
        assert_eq!((gpus[1].bandwidth_gbps, gpus[1].tflops, &gpus[1].price), (500.0, None, &None));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, part) in [
            ("", "[[gpu]]"),
            ("[[gpu]]\nname='x'\nmemory_gib=1\n", "`bandwidth_gbps` is missing"),
            ("[[gpu]]\nname='l4'\nmemory_gib=-1\n", "`memory_gib` must be above 0"),
            ("[[gpu]]\nname='l4'\nbandwidth_gbps=nan\n", "`bandwidth_gbps` must be above 0"),
            ("[[gpu]]\nname='l4'\nprice=1.0\n", "`price_date` is missing"),
            ("[[gpu]]\nname='l4'\nprice=1.0\nprice_date='today'\n", "`price_date`"),
            ("[[gpu]]\nname='l4'\nprice=1.0\nprice_date=2026-11-20T10:00:00\n", "`price_date`"),
            ("[[gpu]]\nname='l4'\nprice=1.0\nprice_date=20261120\n", "[[gpu]]"),
            ("[[gpu]]\nname='l4'\nprice=nan\nprice_date='2026-11-20'\n", "`price` must be above 0"),
            ("[[gpu]]\nname='l4'\nmemory_gib=inf\n", "`memory_gib` must be above 0"),
            ("[[gpu]]\nname=''\nmemory_gib=1\nbandwidth_gbps=1\n", "`name` is empty"),
            ("[[gpu]]\nname='a,b'\nmemory_gib=1\nbandwidth_gbps=1\n", "`name` has a comma or"),
            ("[[gpu]]\nname='l4'\ncolour='red'\n", "colour"),
            ("gpu = 3", "[[gpu]]"),
        ] {
            let sentence = read(text).unwrap_err().to_string();
            assert!(sentence.contains("gpus.toml") && sentence.contains(part), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }
}
