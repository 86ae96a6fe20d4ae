//! Weights in Hugging Face's safetensors files, single or sharded.
//!
//! Tensors are read one at a time from their place in the file, so loading needs the memory of
//! the model and of one tensor.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::{Misfits, ModelError};
use crate::files;

/// Shards are split at this size, as transformers does.
pub const SHARD_BYTES: usize = 5_000_000_000;

/// Knows where each tensor of a checkpoint folder lies.
#[derive(Debug)]
pub struct Checkpoint {
    places: BTreeMap<String, Place>,
}

#[derive(Debug, Clone)]
struct Place {
    file: PathBuf,
    dtype: Dtype,
    shape: Vec<usize>,
    start: u64,
    bytes: usize,
}

impl Checkpoint {
    /// Opens `model.safetensors` or, without it, the shards of `model.safetensors.index.json` in
    /// `folder`: the order in which transformers looks for them.
    ///
    /// # Errors
    /// When there are no weights, a shard is missing or lacks what the index says, or a header is
    /// damaged or does not match the file's size.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
        if single.exists() {
            Self::open_file(&single)
        } else if index.exists() {
            Self::open_shards(folder, &index)
        } else {
            let path = folder.to_owned();
            Err(match pickled(folder) {
                Some(file) => ModelError::Pickled { path, file },
                None => ModelError::NoWeights { path },
            })
        }
    }

    fn open_shards(folder: &Path, index: &Path) -> Result<Self, ModelError> {
        let text =
            std::fs::read_to_string(index).map_err(|source| ModelError::Read { path: index.to_owned(), source })?;
        let value: Value =
            serde_json::from_str(&text).map_err(|source| ModelError::Json { path: index.to_owned(), source })?;
        let damaged = |problem: String| ModelError::Damaged { path: index.to_owned(), problem };
        let map = value.get("weight_map").and_then(Value::as_object);
        let map = map.ok_or_else(|| damaged("`weight_map` is missing".to_owned()))?;
        let mut shards = BTreeMap::new();
        let mut places = BTreeMap::new();
        for (name, file) in map {
            let file = file.as_str().ok_or_else(|| damaged(format!("it names no file for `{name}`")))?;
            let shard = match shards.entry(file) {
                Entry::Occupied(shard) => shard.into_mut(),
                Entry::Vacant(place) => place.insert(read_places(&folder.join(file))?),
            };
            let place = shard.remove(name).ok_or_else(|| damaged(format!("`{file}` does not hold `{name}`")))?;
            places.insert(name.clone(), place);
        }
        // What the index does not name is there all the same.
        for (name, place) in shards.into_values().flatten() {
            places.entry(name).or_insert(place);
        }
        Ok(Self { places })
    }

    /// Opens one safetensors file, such as an adapter.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub fn open_file(file: &Path) -> Result<Self, ModelError> {
        Ok(Self { places: read_places(file)? })
    }

    /// Returns the tensors' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Returns the name that `name` has here: its own, or what is left of it without the model's part in
    /// front, under which a model without head keeps its weights (as the first GPT-2 does).
    pub(super) fn name_of<'a>(&self, name: &'a str) -> &'a str {
        let short = name.split_once('.').map(|(_, rest)| rest);
        short.filter(|short| !self.places.contains_key(name) && self.places.contains_key(*short)).unwrap_or(name)
    }

    /// Returns the shape of `name`, if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.places.get(name).map(|place| place.shape.iter().map(|&size| size as i64).collect())
    }

    /// Returns the format in which `name` is stored, if it is there and a tensor can have it.
    pub(crate) fn kind(&self, name: &str) -> Option<Kind> {
        self.places.get(name).and_then(|place| kind_of(place.dtype))
    }

    /// Reads the bytes of `name` as they are stored; `None` when it is not there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        let Some(place) = self.places.get(name) else {
            return Ok(None);
        };
        let failed = |source| ModelError::Read { path: place.file.clone(), source };
        let mut file = File::open(&place.file).map_err(failed)?;
        file.seek(SeekFrom::Start(place.start)).map_err(failed)?;
        let mut bytes = vec![0; place.bytes];
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Reads `name` into `kind` on `device`; `None` when it is not there.
    ///
    /// # Errors
    /// When the file cannot be read or holds another type of number: one without a tensor kind, or
    /// an integer for a real number or the reverse (quantised weights are no weights).
    pub fn read(&self, name: &str, kind: Kind, device: Device) -> Result<Option<Tensor>, ModelError> {
        let (Some(place), Some(bytes)) = (self.places.get(name), self.bytes(name)?) else {
            return Ok(None);
        };
        let stored = kind_of(place.dtype).filter(|&stored| is_real(stored) == is_real(kind));
        let stored = stored.ok_or_else(|| {
            let expected = if is_real(kind) { "F32, F16, BF16 or F64" } else { "I64, I32, I8, U8 or BOOL" };
            let problem = format!("`{name}` is stored as {:?}, expected {expected}", place.dtype);
            ModelError::Config { path: place.file.clone(), problem }
        })?;
        let shape: Vec<i64> = place.shape.iter().map(|&size| size as i64).collect();
        let tensor = Tensor::f_from_data_size(&bytes, &shape, stored)
            .and_then(|tensor| tensor.f_to_kind(kind)?.f_to_device(device))
            .map_err(|source| ModelError::Torch { doing: "reading weights", source })?;
        Ok(Some(tensor))
    }

    /// Reads weights `name` as [`Self::read`] does, and says in `misfits` if they hold infinities or no
    /// numbers, with which nothing can be computed.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(crate) fn read_weights(
        &self,
        name: &str,
        kind: Kind,
        device: Device,
        misfits: &mut Misfits,
    ) -> Result<Option<Tensor>, ModelError> {
        let tensor = self.read(name, kind, device)?;
        if let Some(tensor) = &tensor {
            let wrong = tensor.isfinite().logical_not().sum(Kind::Int64).int64_value(&[]);
            if wrong > 0 {
                misfits.add(format!("`{name}` holds {wrong} values that are infinite or no numbers"));
            }
        }
        Ok(tensor)
    }
}

/// Returns the name of the first `pytorch_model*.bin` in a folder.
fn pickled(folder: &Path) -> Option<String> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("pytorch_model") && name.ends_with(".bin")).min()
}

fn read_places(path: &Path) -> Result<BTreeMap<String, Place>, ModelError> {
    let failed = |source| ModelError::Read { path: path.to_owned(), source };
    let damaged = |problem: String| ModelError::Damaged { path: path.to_owned(), problem };
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| damaged(format!("{size} bytes, expected a header")))?;
    let length = u64::from_le_bytes(length);
    if length > size.saturating_sub(8) {
        return Err(damaged(format!("its header claims {length} bytes, the file has {size}")));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(failed)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(format!("its header does not parse ({error})")))?;
    let start = 8 + length;
    let mut end = start;
    let mut places = BTreeMap::new();
    for name in metadata.offset_keys() {
        let Some(information) = metadata.info(&name) else { continue };
        let (first, last) = information.data_offsets;
        end = start + last as u64;
        if end > size {
            return Err(damaged(format!("it ends before `{name}`: expected {end} bytes, found {size}")));
        }
        let place = Place {
            file: path.to_owned(),
            dtype: information.dtype,
            shape: information.shape.clone(),
            start: start + first as u64,
            bytes: last - first,
        };
        places.insert(name, place);
    }
    if end < size {
        return Err(damaged(format!("it goes on after its last tensor: expected {end} bytes, found {size}")));
    }
    Ok(places)
}

/// Writes `tensors` as `model.safetensors` in `folder`, or as shards of `shard_bytes` with an index.
///
/// # Errors
/// When a file cannot be written; shards that were written before it remain, without an index.
pub fn save(folder: &Path, tensors: &[(String, Tensor)], shard_bytes: usize) -> Result<(), ModelError> {
    let mut shards: Vec<Vec<&(String, Tensor)>> = vec![Vec::new()];
    let mut filled = 0;
    for entry in tensors {
        if filled > 0 && filled + bytes_in(&entry.1) > shard_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += bytes_in(&entry.1);
        if let Some(shard) = shards.last_mut() {
            shard.push(entry);
        }
    }
    if let [only] = &shards[..] {
        return save_file(&folder.join("model.safetensors"), only);
    }
    let mut map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        save_file(&folder.join(&name), shard)?;
        map.extend(shard.iter().map(|(tensor, _)| (tensor.clone(), name.clone())));
    }
    let total: usize = tensors.iter().map(|(_, tensor)| bytes_in(tensor)).sum();
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    Ok(files::write(&folder.join("model.safetensors.index.json"), format!("{index:#}\n").as_bytes())?)
}

/// Elements that are copied out of a tensor at a time.
const PART: i64 = 1 << 24;

/// Writes `tensors` as one safetensors file that PyTorch tools read.
///
/// The file takes the memory of a part of one tensor: a checkpoint of a model that just fits must
/// not be what ends it.
///
/// # Errors
/// When the file cannot be written; an older one is then untouched.
pub fn save_file(path: &Path, tensors: &[&(String, Tensor)]) -> Result<(), ModelError> {
    // transformers asks a file who wrote it.
    save_file_about(path, tensors, ("format", "pt"))
}

/// Writes tensors as [`save_file`] does, with one name and value as the file's metadata: of several, the
/// order would be another in every run.
///
/// # Errors
/// As for [`save_file`].
pub fn save_file_about(path: &Path, tensors: &[&(String, Tensor)], about: (&str, &str)) -> Result<(), ModelError> {
    let mut ordered = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = dtype_of(tensor.kind()).ok_or_else(|| {
            let problem = format!("`{name}` is {:?}, which has no place in safetensors", tensor.kind());
            ModelError::Config { path: path.to_owned(), problem }
        })?;
        ordered.push((dtype, name, tensor));
    }
    // The widest numbers first, so that each tensor is aligned; then by name.
    ordered.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let mut end = 0;
    let mut described = Vec::with_capacity(ordered.len());
    for &(dtype, name, tensor) in &ordered {
        let start = end;
        end += bytes_in(tensor);
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        described.push((name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
    }
    let damaged = |problem: String| ModelError::Damaged { path: path.to_owned(), problem };
    let about = HashMap::from([(about.0.to_owned(), about.1.to_owned())]);
    let metadata = Metadata::new(Some(about), described).map_err(|error| damaged(error.to_string()))?;
    let mut header = serde_json::to_vec(&metadata).map_err(|error| damaged(error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let bytes = (8 + header.len() + end) as u64;
    let written = files::write_sized(path, Some(bytes), |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        ordered.iter().try_for_each(|(_, _, tensor)| write_tensor(tensor, file))
    });
    Ok(written?)
}

fn write_tensor(tensor: &Tensor, file: &mut impl Write) -> io::Result<()> {
    let flat = tensor.f_detach().and_then(|tensor| tensor.f_reshape([-1])).map_err(io::Error::other)?;
    for start in (0..flat.numel() as i64).step_by(PART as usize) {
        let count = PART.min(flat.numel() as i64 - start);
        let bytes = flat.f_narrow(0, start, count).and_then(|part| bytes_of(&part)).map_err(io::Error::other)?;
        file.write_all(&bytes)?;
    }
    Ok(())
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>, tch::TchError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; bytes_in(&tensor)];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

fn bytes_in(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::Float => Dtype::F32,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Double => Dtype::F64,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Int8 => Dtype::I8,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        _ => return None,
    })
}

fn is_real(kind: Kind) -> bool {
    matches!(kind, Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Vec<(String, Tensor)> {
        tch::manual_seed(1);
        let random = |rows| Tensor::randn([rows, 3], (Kind::Float, Device::Cpu));
        vec![
            ("a".to_owned(), random(2)),
            ("b".to_owned(), random(4).to_kind(Kind::BFloat16)),
            ("c".to_owned(), random(1)),
        ]
    }

    #[test]
    fn single_and_sharded_files_read_back() {
        for (shard_bytes, files) in [(SHARD_BYTES, 1), (24, 4)] {
            let folder = tempfile::tempdir().unwrap();
            save(folder.path(), &tensors(), shard_bytes).unwrap();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), files);
            let checkpoint = Checkpoint::open(folder.path()).unwrap();
            for (name, tensor) in tensors() {
                let read = checkpoint.read(&name, tensor.kind(), Device::Cpu).unwrap().unwrap();
                assert!(read.equal(&tensor), "{name}");
            }
        }
    }

    #[test]
    fn a_truncated_file_is_told_before_a_tensor_is_read() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &tensors(), SHARD_BYTES).unwrap();
        let path = folder.path().join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        for keep in [0, 5, 40, bytes.len() - 1] {
            files::write(&path, &bytes[..keep]).unwrap();
            let error = Checkpoint::open(folder.path()).unwrap_err();
            assert!(matches!(error, ModelError::Damaged { .. }), "{keep}: {error}");
        }
        files::write(&path, &[&bytes[..], b"more"].concat()).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("goes on after its last tensor"), "{error}");
    }

    #[test]
    fn an_index_is_held_to_its_word() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &tensors(), 24).unwrap();
        let path = folder.path().join("model.safetensors.index.json");
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to, expected) in [
            ("\"a\": \"model-00001-of-00003", "\"a\": \"model-00002-of-00003", "does not hold `a`"),
            ("\"model-00002-of-00003.safetensors\"", "7", "names no file for `b`"),
            ("weight_map", "map", "`weight_map` is missing"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            files::write(&path, changed.as_bytes()).unwrap();
            let error = Checkpoint::open(folder.path()).unwrap_err();
            assert!(matches!(error, ModelError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn integers_are_not_taken_for_weights_nor_weights_for_ids() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensors.safetensors");
        let named = |name: &str, tensor: Tensor| (name.to_owned(), tensor);
        let (real, whole) = (named("real", Tensor::from_slice(&[1.5f32])), named("whole", Tensor::from_slice(&[1i32])));
        save_file(&path, &[&real, &whole]).unwrap();
        let checkpoint = Checkpoint::open_file(&path).unwrap();
        let read = |name, kind| checkpoint.read(name, kind, Device::Cpu).map_err(|error| error.to_string());
        assert!(read("real", Kind::BFloat16).is_ok() && read("whole", Kind::Int64).is_ok());
        assert!(
            read("real", Kind::Int64)
                .unwrap_err()
                .ends_with("`real` is stored as F32, expected I64, I32, I8, U8 or BOOL")
        );
        assert!(
            read("whole", Kind::Float)
                .unwrap_err()
                .ends_with("`whole` is stored as I32, expected F32, F16, BF16 or F64")
        );
    }
}
