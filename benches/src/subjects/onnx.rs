//! The three networks as ONNX graphs, made of the weights of a file of ours: what any other engine
//! can be given. `benches/peers/onnxruntime_networks.py` makes the same graphs.

use anyhow::{Context, Result};
use cortica_neural::{CODE, WINDOW};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::networks::{Which, Work};

/// The operators' meaning that the graphs rely on, and the file format's version.
const OPERATORS: i64 = 17;
const FORMAT: i64 = 8;

/// The network for so many samples at once, its input `x` and its output `y`.
pub(super) fn model(work: &Work, which: Which, batch: usize) -> Result<ModelProto> {
    let mut graph = Graph::new(work);
    let (input, output, result) = match which {
        Which::Encoder => {
            let shape = vec![batch, work.networks.dimension()];
            (shape, vec![batch, CODE], graph.encoder()?)
        }
        Which::Predictor => (
            vec![WINDOW, batch, CODE],
            vec![batch, CODE],
            graph.predictor()?,
        ),
        Which::Detector => (vec![batch, WINDOW, CODE], vec![batch, 1], graph.detector()?),
    };
    graph.node("Identity", &[&result], &[], &["y"]);
    Ok(graph.finish(&input, &output))
}

struct Graph<'a> {
    work: &'a Work,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

/// What an operator is told beside its inputs.
enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
}

impl<'a> Graph<'a> {
    fn new(work: &'a Work) -> Graph<'a> {
        Graph {
            work,
            nodes: Vec::new(),
            constants: Vec::new(),
        }
    }

    fn encoder(&mut self) -> Result<String> {
        let unit = [Attribute::Int("axis", 1), Attribute::Int("p", 2)];
        let x = self.add("LpNormalization", &["x"], &unit);
        let both = self.layer(&x, "encoder.first")?;
        let bend = self.slice(&both, CODE as i64, i64::MAX, 1);
        let bend = self.add("Relu", &[&bend], &[]);
        let bend = self.layer(&bend, "encoder.second")?;
        let linear = self.slice(&both, 0, CODE as i64, 1);
        let code = self.add("Add", &[&linear, &bend], &[]);
        Ok(self.add("LpNormalization", &[&code], &unit))
    }

    fn predictor(&mut self) -> Result<String> {
        let state = self.shape("predictor.recurrent.weight")?[1];
        // Ours stand in the order i, f, o, g; those of ONNX in i, o, f, c.
        let order = |values: &[f32]| -> Vec<f32> {
            let gate = values.len() / 4;
            [0, 2, 1, 3]
                .iter()
                .flat_map(|at| &values[at * gate..][..gate])
                .copied()
                .collect()
        };
        let input = order(self.values("predictor.input.weight")?);
        let recurrent = order(self.values("predictor.recurrent.weight")?);
        let mut bias = order(self.values("predictor.input.bias")?);
        bias.resize(8 * state, 0.0); // The second bias.
        let input = self.constant(&[1, 4 * state, CODE], &input);
        let recurrent = self.constant(&[1, 4 * state, state], &recurrent);
        let bias = self.constant(&[1, 8 * state], &bias);
        let size = [Attribute::Int("hidden_size", state as i64)];
        let inputs = ["x", &input, &recurrent, &bias];
        self.node("LSTM", &inputs, &size, &["", "hidden"]);
        let axis = self.integers(&[0]);
        let hidden = self.add("Squeeze", &["hidden", &axis], &[]);
        let last = self.slice("x", WINDOW as i64 - 1, WINDOW as i64, 0);
        let last = self.add("Squeeze", &[&last, &axis], &[]);
        let shown = self.add("Concat", &[&hidden, &last], &[Attribute::Int("axis", 1)]);
        let code = self.layer(&shown, "predictor.output")?;
        let unit = [Attribute::Int("axis", 1), Attribute::Int("p", 2)];
        Ok(self.add("LpNormalization", &[&code], &unit))
    }

    fn detector(&mut self) -> Result<String> {
        let width = self.shape("detector.lift.weight")?[0];
        let mut earlier = Vec::new();
        for back in 1..WINDOW {
            let pads = self.integers(&[0, back as i64, 0, 0, 0, 0]);
            let padded = self.add("Pad", &["x", &pads], &[]);
            earlier.push(self.slice(&padded, 0, WINDOW as i64, 1));
        }
        let [value, product] = [8.0, 64.0].map(|scale| self.constant(&[], &[scale]));
        let mut parts = vec![self.add("Mul", &["x", &value], &[])];
        let products = self.add("Mul", &["x", &earlier[0]], &[]);
        parts.push(self.add("Mul", &[&products, &product], &[]));
        let axes = self.integers(&[2]);
        for earlier in &earlier {
            let products = self.add("Mul", &["x", earlier], &[]);
            let sum = [Attribute::Int("keepdims", 1)];
            parts.push(self.add("ReduceSum", &[&products, &axes], &sum));
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let described = self.add("Concat", &parts, &[Attribute::Int("axis", 2)]);
        let mut y = self.add(
            "Transpose",
            &[&described],
            &[Attribute::Ints("perm", &[0, 2, 1])],
        );
        let lift = self.values("detector.lift.weight")?.to_vec();
        let lift = self.constant(&[width, lift.len() / width, 1], &lift);
        let bias = self.bias("detector.lift")?;
        y = self.add(
            "Conv",
            &[&y, &lift, &bias],
            &[Attribute::Ints("kernel_shape", &[1])],
        );
        for (at, dilation) in [1, 2, 4].into_iter().enumerate() {
            let layer = format!("detector.layer{at}");
            // Stored tap by tap; ONNX wants [outputs, channels, taps].
            let stored = self.values(&format!("{layer}.weight"))?;
            let taps = stored.len() / (width * width);
            let from = |at: usize| {
                let (output, channel, tap) = (at / (taps * width), at / taps % width, at % taps);
                stored[output * taps * width + tap * width + channel]
            };
            let kernel: Vec<f32> = (0..stored.len()).map(from).collect();
            let kernel = self.constant(&[width, width, taps], &kernel);
            let bias = self.bias(&layer)?;
            let how = [
                Attribute::Ints("dilations", &[dilation]),
                Attribute::Ints("pads", &[2 * dilation, 0]),
                Attribute::Ints("kernel_shape", &[taps as i64]),
            ];
            let added = self.add("Conv", &[&y, &kernel, &bias], &how);
            let added = self.add("Relu", &[&added], &[]);
            y = self.add("Add", &[&y, &added], &[]);
            y = self.add("Relu", &[&y], &[]);
        }
        let last = self.slice(&y, WINDOW as i64 - 1, WINDOW as i64, 2);
        let last = self.add("Squeeze", &[&last, &axes], &[]);
        let hidden = self.layer(&last, "detector.hidden")?;
        let hidden = self.add("Relu", &[&hidden], &[]);
        let judged = self.layer(&hidden, "detector.output")?;
        Ok(self.add("Sigmoid", &[&judged], &[]))
    }

    fn values(&self, name: &str) -> Result<&'a [f32]> {
        let found = self
            .work
            .weights
            .get(name)
            .with_context(|| format!("no {name}"))?;
        Ok(&found.values)
    }

    fn shape(&self, name: &str) -> Result<&'a [usize]> {
        let found = self
            .work
            .weights
            .get(name)
            .with_context(|| format!("no {name}"))?;
        Ok(&found.shape)
    }

    fn bias(&mut self, layer: &str) -> Result<String> {
        let values = self.values(&format!("{layer}.bias"))?;
        Ok(self.constant(&[values.len()], values))
    }

    /// A layer of ours: rows times the transposed weights, and the bias.
    fn layer(&mut self, x: &str, layer: &str) -> Result<String> {
        let name = format!("{layer}.weight");
        let (shape, values) = (self.shape(&name)?, self.values(&name)?);
        let weights = self.constant(shape, values);
        let bias = self.bias(layer)?;
        Ok(self.add(
            "Gemm",
            &[x, &weights, &bias],
            &[Attribute::Int("transB", 1)],
        ))
    }

    fn slice(&mut self, x: &str, start: i64, end: i64, axis: i64) -> String {
        let [start, end, axis] = [start, end, axis].map(|at| self.integers(&[at]));
        self.add("Slice", &[x, &start, &end, &axis], &[])
    }

    fn add(&mut self, kind: &str, inputs: &[&str], attributes: &[Attribute<'_>]) -> String {
        let name = format!("n{}", self.nodes.len());
        self.node(kind, inputs, attributes, &[&name]);
        name
    }

    fn node(&mut self, kind: &str, inputs: &[&str], attributes: &[Attribute<'_>], out: &[&str]) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.nodes.push(NodeProto {
            input: owned(inputs),
            output: owned(out),
            name: format!("{kind}{}", self.nodes.len()),
            op_type: kind.to_owned(),
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
    }

    fn constant(&mut self, shape: &[usize], values: &[f32]) -> String {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensor(DataType::Float, shape, bytes)
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensor(DataType::Int64, &[values.len()], bytes)
    }

    fn tensor(&mut self, kind: DataType, shape: &[usize], bytes: Vec<u8>) -> String {
        let name = format!("c{}", self.constants.len());
        self.constants.push(TensorProto {
            dims: shape.iter().map(|&axis| axis as i64).collect(),
            data_type: kind as i32,
            name: name.clone(),
            raw_data: bytes,
            ..TensorProto::default()
        });
        name
    }

    fn finish(self, input: &[usize], output: &[usize]) -> ModelProto {
        ModelProto {
            ir_version: FORMAT,
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPERATORS,
            }],
            graph: Some(GraphProto {
                node: self.nodes,
                name: "network".to_owned(),
                initializer: self.constants,
                input: vec![value("x", input)],
                output: vec![value("y", output)],
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        }
    }
}

fn attribute(attribute: &Attribute<'_>) -> AttributeProto {
    match attribute {
        Attribute::Int(name, value) => AttributeProto {
            name: (*name).to_owned(),
            r#type: AttributeType::Int as i32,
            i: *value,
            ..AttributeProto::default()
        },
        Attribute::Ints(name, values) => AttributeProto {
            name: (*name).to_owned(),
            r#type: AttributeType::Ints as i32,
            ints: values.to_vec(),
            ..AttributeProto::default()
        },
    }
}

/// A tensor of f32 values that goes in or comes out.
fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let axis = |&axis: &usize| Dimension {
        denotation: String::new(),
        value: Some(dimension::Value::DimValue(axis as i64)),
    };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto {
            dim: shape.iter().map(axis).collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            denotation: String::new(),
            value: Some(type_proto::Value::TensorType(tensor)),
        }),
        doc_string: String::new(),
    }
}
