//! One file for llama.cpp: GGUF version 3 (github.com/ggml-org/ggml, docs/gguf.md).
//!
//! Names, shapes, order of rows, and keys are those that its converter writes. Families whose file another program
//! read back with the same logits are written, the others are refused by name.

mod blocks;
mod metadata;
mod tensors;
mod vocabulary;

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use anyhow::Context;
use gguf_rs_lib::format::header::GGUFHeader;
use gguf_rs_lib::format::metadata::Metadata;
use gguf_rs_lib::reader::GGUFFileReader;
use gguf_rs_lib::tensor::{TensorData, TensorInfo, TensorShape};
use gguf_rs_lib::writer::GGUFFileWriter;
use tch::{Device, Kind, Tensor};

pub use self::tensors::Layout;

use super::settings::Blocks;
use crate::data::Tokenizer;
use crate::files;
use crate::models::ModelError;
use crate::models::config::Config;
use crate::models::decoder::Decoder;

/// Every tensor begins at a multiple of so many bytes.
const ALIGNMENT: u64 = 32;

/// What is written of a model, known before its weights are.
#[derive(Debug)]
pub struct Plan {
    layout: Layout,
    metadata: Metadata,
    blocks: Blocks,
}

impl Plan {
    /// Decides what is written of a model called `title`.
    ///
    /// # Errors
    /// A family, rotary angles or a tokenizer for which it is not known that llama.cpp computes the same.
    pub fn new(config: &Config, tokenizer: &Tokenizer, title: &str, blocks: Blocks) -> anyhow::Result<Self> {
        let layout = Layout::of(config)?;
        let mut keys = metadata::of(config, &layout, title, blocks)?;
        keys.extend(vocabulary::of(config, tokenizer)?);
        let mut metadata = Metadata::new();
        for (key, value) in keys {
            metadata.insert(key, value);
        }
        Ok(Self { layout, metadata, blocks })
    }

    /// Names the file.
    #[must_use]
    pub fn file(&self) -> &'static str {
        match self.blocks {
            Blocks::F16 => "model-f16.gguf",
            Blocks::Q8_0 => "model-q8_0.gguf",
        }
    }

    /// Writes the weights of a decoder, which are in f32, into the file of a folder.
    ///
    /// # Errors
    /// A file that cannot be written, numbers beyond the range of f16.
    pub fn write(&self, decoder: &Decoder, folder: &Path) -> anyhow::Result<()> {
        let named = self.layout.named(decoder)?;
        let path = folder.join(self.file());
        let mut descriptors = Vec::new();
        let mut end = 0;
        for named in &named {
            let kind = blocks::kind(named, self.blocks);
            // The innermost size comes first.
            let sizes = named.tensor.size().iter().rev().map(|size| size.unsigned_abs()).collect();
            let start = u64::next_multiple_of(end, ALIGNMENT);
            let descriptor = TensorInfo::new(named.name.clone(), TensorShape::new(sizes)?, kind, start);
            end = start + descriptor.checked_expected_data_size()?;
            descriptors.push(descriptor);
        }
        files::write_sized(&path, Some(end), |file| {
            self.fill(file, &named, &descriptors).map_err(|error| match error.downcast() {
                Ok(error) => error,
                Err(other) => std::io::Error::other(format!("{other:#}")),
            })
        })?;
        Ok(())
    }

    fn fill(&self, file: &mut impl Write, named: &[tensors::Named], descriptors: &[TensorInfo]) -> anyhow::Result<()> {
        let mut writer = GGUFFileWriter::new(file);
        writer.write_header(&GGUFHeader::new(descriptors.len() as u64, self.metadata.len() as u64))?;
        writer.write_metadata(&self.metadata)?;
        writer.write_tensor_infos(descriptors)?;
        writer.align_for_tensor_data()?;
        for (named, descriptor) in named.iter().zip(descriptors) {
            let bytes = blocks::encoded(&named.tensor.changed(), descriptor.tensor_type())
                .with_context(|| format!("cannot write `{}`", named.name))?;
            writer.write_tensor_data(descriptor, &TensorData::new_owned(bytes))?;
        }
        Ok(writer.flush()?)
    }

    /// Reads the file of a folder back as a decoder in f32.
    ///
    /// # Errors
    /// A file that cannot be read, or that lacks a tensor.
    pub fn read(&self, config: Config, folder: &Path) -> anyhow::Result<Decoder> {
        let path = folder.join(self.file());
        let file = File::open(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let mut reader = GGUFFileReader::new(BufReader::new(file))?;
        let damaged = |problem: String| ModelError::Damaged { path: path.clone(), problem };
        let decoder = Decoder::assemble(config, |name, shape| {
            let stored = self.layout.name(name).ok_or_else(|| damaged(format!("it has no place for `{name}`")))?;
            let descriptor = reader.get_tensor_info(&stored);
            let kind = descriptor.map(TensorInfo::tensor_type);
            let kind = kind.ok_or_else(|| damaged(format!("`{stored}` is missing")))?;
            let data = reader.load_tensor_data(&stored).map_err(|error| damaged(error.to_string()))?;
            let bytes = data.as_ref().map(TensorData::as_slice).unwrap_or_default();
            let decoded = blocks::decoded(bytes, kind, shape)
                .ok_or_else(|| damaged(format!("`{stored}` is no tensor of shape {shape:?}")))?;
            Ok(self.layout.restored(name, decoded))
        })?;
        Ok(decoder)
    }
}

/// Returns the bytes of a tensor.
fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>, tch::TchError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

/// Returns the tensor `[sizes]` of bytes.
fn tensor_of(bytes: &[u8], sizes: &[i64], kind: Kind) -> Option<Tensor> {
    let numbers: i64 = sizes.iter().product();
    let fits = bytes.len() as i64 == numbers * kind.elt_size_in_bytes() as i64;
    fits.then(|| Tensor::f_from_data_size(bytes, sizes, kind).ok()).flatten()
}
