/** Entry point of the engine worker in Node. */
import { nodeWorkerPort } from "../../platform/node.ts";
import { hostEngine } from "./engine-host.ts";

hostEngine(nodeWorkerPort());
