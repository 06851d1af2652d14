/** Entry point of a reader worker in Node. */
import { nodeWorkerPort, openBlockingFile } from "../platform/node.ts";
import { hostReader } from "./column-reader.ts";

hostReader(nodeWorkerPort(), openBlockingFile);
