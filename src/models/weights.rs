//! Weights in Hugging Face's safetensors files, single or sharded.
//!
//! Tensors are read one at a time from their place in the file, so loading needs the memory of
//! the model and of one tensor.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorView};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::ModelError;
use crate::files;

/// Shards are split at this size, as transformers does.
pub const SHARD_BYTES: usize = 5_000_000_000;

/// Knows where each tensor of a checkpoint folder lies.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
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
    /// Opens `model.safetensors` or the shards of `model.safetensors.index.json` in `folder`.
    ///
    /// # Errors
    /// When there are no weights, a shard is missing, or a header is damaged or does not match
    /// the file's size.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let index = folder.join("model.safetensors.index.json");
        let files = if index.exists() {
            let text =
                std::fs::read_to_string(&index).map_err(|source| ModelError::Read { path: index.clone(), source })?;
            let value: Value =
                serde_json::from_str(&text).map_err(|source| ModelError::Json { path: index.clone(), source })?;
            let map = value.get("weight_map").and_then(Value::as_object).ok_or_else(|| ModelError::Damaged {
                path: index.clone(),
                problem: "`weight_map` is missing".to_owned(),
            })?;
            let names: std::collections::BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
            names.into_iter().map(|name| folder.join(name)).collect()
        } else if folder.join("model.safetensors").exists() {
            vec![folder.join("model.safetensors")]
        } else {
            return Err(ModelError::NoWeights { path: folder.to_owned() });
        };
        let mut places = BTreeMap::new();
        for file in files {
            places.extend(read_places(&file)?);
        }
        Ok(Self { folder: folder.to_owned(), places })
    }

    /// Opens one safetensors file, such as an adapter.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub fn open_file(file: &Path) -> Result<Self, ModelError> {
        let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self { folder, places: read_places(file)? })
    }

    /// Returns the tensors' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Returns the folder that was opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the shape of `name`, if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.places.get(name).map(|place| place.shape.iter().map(|&size| size as i64).collect())
    }

    /// Reads `name` into `kind` on `device`; `None` when it is not there.
    ///
    /// # Errors
    /// When the file cannot be read or its type has no tensor kind.
    pub fn read(&self, name: &str, kind: Kind, device: Device) -> Result<Option<Tensor>, ModelError> {
        let Some(place) = self.places.get(name) else {
            return Ok(None);
        };
        let failed = |source| ModelError::Read { path: place.file.clone(), source };
        let mut file = File::open(&place.file).map_err(failed)?;
        file.seek(SeekFrom::Start(place.start)).map_err(failed)?;
        let mut bytes = vec![0; place.bytes];
        file.read_exact(&mut bytes).map_err(failed)?;
        let stored = kind_of(place.dtype).ok_or_else(|| ModelError::Damaged {
            path: place.file.clone(),
            problem: format!("`{name}` has type {:?}, expected f32, f16, bf16, f64 or an integer", place.dtype),
        })?;
        let shape: Vec<i64> = place.shape.iter().map(|&size| size as i64).collect();
        let tensor = Tensor::f_from_data_size(&bytes, &shape, stored)
            .and_then(|tensor| tensor.f_to_kind(kind)?.f_to_device(device))
            .map_err(|source| ModelError::Torch { doing: "reading weights", source })?;
        Ok(Some(tensor))
    }
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
    let mut places = BTreeMap::new();
    for name in metadata.offset_keys() {
        let Some(information) = metadata.info(&name) else { continue };
        let (first, last) = information.data_offsets;
        if start + last as u64 > size {
            return Err(damaged(format!(
                "it ends before `{name}`: expected {} bytes, found {size}",
                start + last as u64
            )));
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
    Ok(places)
}

/// Writes `tensors` as `model.safetensors` in `folder`, or as shards of `shard_bytes` with an index.
///
/// # Errors
/// When a file cannot be written; what was written remains under a temporary name.
pub fn save(folder: &Path, tensors: &[(String, Tensor)], shard_bytes: usize) -> Result<(), ModelError> {
    let size = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
    let mut shards: Vec<Vec<&(String, Tensor)>> = vec![Vec::new()];
    let mut filled = 0;
    for entry in tensors {
        if filled > 0 && filled + size(&entry.1) > shard_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += size(&entry.1);
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
    let total: usize = tensors.iter().map(|(_, tensor)| size(tensor)).sum();
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    Ok(files::write(&folder.join("model.safetensors.index.json"), format!("{index:#}\n").as_bytes())?)
}

/// Writes `tensors` as one safetensors file that PyTorch tools read.
///
/// # Errors
/// When the file cannot be written; an older one is then untouched.
pub fn save_file(path: &Path, tensors: &[&(String, Tensor)]) -> Result<(), ModelError> {
    let mut buffers = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        let bytes = bytes_of(tensor).map_err(|source| ModelError::Torch { doing: "copying weights", source })?;
        buffers.push((name, dtype_of(tensor.kind()), shape, bytes));
    }
    let damaged =
        |error: safetensors::SafeTensorError| ModelError::Damaged { path: path.to_owned(), problem: error.to_string() };
    let mut views = Vec::with_capacity(buffers.len());
    for (name, dtype, shape, bytes) in &buffers {
        views.push((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(damaged)?));
    }
    // transformers asks a file who wrote it.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(damaged)?;
    Ok(files::write(path, &bytes)?)
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>, tch::TchError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}

fn dtype_of(kind: Kind) -> Dtype {
    match kind {
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Double => Dtype::F64,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        _ => Dtype::F32,
    }
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
    }
}
