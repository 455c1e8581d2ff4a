// Usage: node build.js SOURCE WIT_FOLDER COMPONENT
import { readFile, writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [sourcePath, witPath, to] = process.argv.slice(2);
const { component } = await componentize({ sourcePath, witPath, worldName: 'javascript' });
await writeFile(to, component);
