// Turns the folder of a y-leveldb (y-websocket's YPERSISTENCE) into one that "yserverd doc import" reads. Stop the server
// that uses it first. In a folder of your own:
//
//   npm install y-leveldb@0.1.2        (or the version that wrote the folder)
//   node y-leveldb-export.mjs <leveldb folder> <new folder> <party>
//   yserverd doc import -c yserverd.yaml <new folder>
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LeveldbPersistence } from 'y-leveldb'

const [source, target, party] = process.argv.slice(2)
if (!party) {
  console.error('node y-leveldb-export.mjs <leveldb folder> <new folder> <party>')
  process.exit(2)
}
if (!existsSync(join(source, 'CURRENT'))) {
  console.error(`${source} is no LevelDB`)
  process.exit(1)
}
mkdirSync(join(target, 'manifest'), { recursive: true })
mkdirSync(join(target, 'documents'))

const store = new LeveldbPersistence(source)
const lines = []
for (const room of await store.getAllDocNames()) {
  const update = await store.getDiff(room, new Uint8Array([0])) // everything
  const file = `documents/${lines.length + 1}.bin`
  writeFileSync(join(target, file), update)
  const sha256 = createHash('sha256').update(update).digest('hex')
  lines.push(JSON.stringify({ party, room, epoch: 0, seq: 0, file, sha256, bytes: update.length }) + '\n')
  if (lines.length % 1000 === 0) console.error(`${lines.length} documents so far`)
}
writeFileSync(join(target, 'manifest', '000001.jsonl'), lines.join(''))
writeFileSync(join(target, 'manifest', 'end.json'), JSON.stringify({ documents: lines.length }) + '\n')
await store.destroy()
console.error(`${lines.length} documents`)
