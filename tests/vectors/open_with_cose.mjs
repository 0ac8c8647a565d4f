// Opens doc/vectors/sealed.json with somebody else's COSE library, and derives every key anew from PROTOCOL.md 3.4.
import { createDecipheriv, createHash, createHmac, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Encrypt0 } from '@auth0/cose';

const bytes = (hex) => Buffer.from(hex, 'hex');
const file = JSON.parse(readFileSync(process.argv[2], 'utf8'));
let number = 0, failed = 0;

function check(name, good) {
	number++;
	failed += good ? 0 : 1;
	console.log(`${good ? 'ok' : 'not ok'} ${number} - ${name}`);
}

// ---- CBOR, as much as the key schedule takes ----

function head(major, n) {
	if (n < 24) return Buffer.from([major << 5 | n]);
	if (n < 0x100) return Buffer.from([major << 5 | 24, n]);
	if (n < 0x10000) return Buffer.from([major << 5 | 25, n >> 8, n & 0xff]);
	const b = Buffer.alloc(n < 2 ** 32 ? 5 : 9);
	b[0] = major << 5 | (n < 2 ** 32 ? 26 : 27);
	if (n < 2 ** 32) b.writeUInt32BE(n, 1);
	else b.writeBigUInt64BE(BigInt(n), 1);
	return b;
}

function cbor(value) {
	if (value === null) return Buffer.from([0xf6]);
	if (typeof value === 'boolean') return Buffer.from([value ? 0xf5 : 0xf4]);
	if (typeof value === 'number') return value < 0 ? head(1, -1 - value) : head(0, value);
	if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
	if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)]);
	return Buffer.concat([head(2, value.length), value]);
}

// ---- PROTOCOL.md 3.4 and 3.5 ----

const sha256 = (data) => createHash('sha256').update(data).digest();

function expand(prk, info, length) {
	return createHmac('sha256', prk).update(Buffer.concat([info, Buffer.from([1])])).digest().subarray(0, length);
}

function keysOf(m) {
	const c = m.context, session = c.kind === 0;
	const context = cbor([1, c.algorithm, c.realm, c.group, c.sender, c.recipient, c.kind,
		session ? bytes(c.key_id) : c.epoch, c.slot ?? null, session ? null : c.sender_id,
		bytes(c.manifest), bytes(c.boot_id)]);
	const digest = sha256(context), secret = bytes(m.traffic_secret);
	const length = c.algorithm === 1 ? 16 : 32;
	const iv = expand(secret, cbor(['sealmq1 iv', digest, 12]), 12);
	const nonce = Buffer.from(iv), counter = Buffer.alloc(8);
	counter.writeBigUInt64BE(BigInt(m.counter));
	for (let i = 0; i < 8; i++) nonce[4 + i] ^= counter[i];
	return { digest, iv, nonce, key: expand(secret, cbor(['sealmq1 key', digest, length]), length) };
}

function externalOf(m, digest) {
	const topic = Buffer.byteLength(m.topic) > 512 ? sha256(Buffer.from(m.topic)) : m.topic;
	const signed = m.covered ? null : (bytes(m.compact)[0] & 1) === 1;
	return cbor([digest, topic, m.stamp ?? null, signed]);
}

// ---- opening ----

async function openWithLibrary(m, key, external) {
	const message = await Encrypt0.decode(bytes(m.expanded_full_iv));
	return Buffer.from(await message.decrypt(key, { externalAAD: external }));
}

// The library knows no ChaCha20-Poly1305.
function openByHand(m, key, nonce, external) {
	const aad = cbor(['Encrypt0', Buffer.concat([Buffer.from([0xa1, 0x01]), cbor(m.context.algorithm)]), external]);
	const expanded = bytes(m.expanded), length = bytes(m.plaintext).length;
	const cipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
	cipher.setAAD(aad, { plaintextLength: length });
	cipher.setAuthTag(expanded.subarray(-16));
	return Buffer.concat([cipher.update(expanded.subarray(-16 - length, -16)), cipher.final()]);
}

async function open(m, k, external) {
	try {
		return m.context.algorithm === 24 ? openByHand(m, k.key, k.nonce, external) : await openWithLibrary(m, k.key, external);
	} catch {
		return null;
	}
}

function proves(m) {
	const tail = bytes(m.compact).subarray(0, -64), length = bytes(m.plaintext).length + 16;
	const signed = Buffer.concat([bytes(m.countersign_head), tail.subarray(-length)]);
	const der = Buffer.concat([bytes('302a300506032b6570032100'), bytes(file.ed25519_public_key)]);
	const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
	return sha256(signed).equals(bytes(m.message_digest)) && verify(null, signed, key, bytes(m.compact).subarray(-64));
}

for (const m of file.messages) {
	const k = keysOf(m), external = externalOf(m, k.digest);
	check(`${m.name}: keys`, k.digest.equals(bytes(m.context_digest)) && k.key.equals(bytes(m.key)) &&
		k.iv.equals(bytes(m.base_iv)) && k.nonce.equals(bytes(m.nonce)) && external.equals(bytes(m.external_aad)));
	const plain = await open(m, k, external);
	check(`${m.name}: opens`, plain !== null && plain.equals(bytes(m.plaintext)));
	const moved = externalOf({ ...m, topic: `${m.topic}/x` }, k.digest);
	check(`${m.name}: does not open under another topic`, await open(m, k, moved) === null);
	if ((bytes(m.compact)[0] & 1) === 1) check(`${m.name}: signature`, proves(m));
}
console.log(`1..${number}`);
process.exit(failed ? 1 : 0);
