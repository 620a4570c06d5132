// Scores of face-api's network of expressions for pictures that come in as raw sRGB bytes, side by side.
// node expression_peers.cjs FOLDER_OF_NODE_MODULES SIDE < pictures > scores.json
const fs = require("fs");
const path = require("path");

const [folder, side] = [process.argv[2], Number(process.argv[3])];
const modules = path.join(folder, "node_modules");
const load = (name) => require(path.join(modules, name));
const tf = load("@tensorflow/tfjs");
load("@tensorflow/tfjs-backend-wasm").setWasmPaths(path.join(modules, "@tensorflow/tfjs-backend-wasm/dist/"));
const faceApi = load("@vladmandic/face-api/dist/face-api.node-wasm.js");

async function main() {
  await tf.setBackend("wasm");
  await tf.ready();
  const network = faceApi.nets.faceExpressionNet;
  await network.loadFromDisk(path.join(modules, "@vladmandic/face-api/model"));
  const bytes = fs.readFileSync(0);
  const scores = [];
  for (let at = 0; at < bytes.length; at += side * side * 3) {
    const picture = tf.tensor3d(new Uint8Array(bytes.subarray(at, at + side * side * 3)), [side, side, 3]);
    scores.push(await network.predictExpressions(picture.toFloat()));
    picture.dispose();
  }
  process.stdout.write(JSON.stringify(scores));
}

main();
