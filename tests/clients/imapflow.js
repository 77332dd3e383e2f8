// A day's work of imapflow, told as one line of JSON: node imapflow.js HOST PORT USER PASSWORD CERTIFICATE
// With IMAPFLOW_LOG set, what goes over the wire is written to stderr.
const fs = require("node:fs");
const { ImapFlow } = require("imapflow");

const [host, port, user, pass, certificate] = process.argv.slice(2);

function wire() {
    if (!process.env.IMAPFLOW_LOG) return false;
    const tell = (entry) => entry.msg && /^(C|S): |^[a-zA-Z0-9]+ /.test(String(entry.msg)) && console.error(entry.src, entry.msg);
    return { debug: tell, trace: tell, info: tell, warn: tell, error: (entry) => console.error("error", entry) };
}

function connection() {
    return new ImapFlow({
        host, port: Number(port), secure: true, auth: { user, pass }, tls: { ca: fs.readFileSync(certificate) },
        logger: wire(), qresync: true,
    });
}

const letter = (subject, text) =>
    `From: dvbe@mic.gov.vn\r\nTo: ttlan@mic.gov.vn\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@x>\r\n` +
    `MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n` +
    `Content-Transfer-Encoding: base64\r\n\r\n${Buffer.from(text).toString("base64")}\r\n--b\r\n` +
    `Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\npdf\r\n--b--\r\n`;

async function day() {
    const told = {};
    const client = connection();
    await client.connect();
    told.server = client.serverInfo && client.serverInfo.name;
    told.enabled = [...client.enabled].sort();
    const folders = await client.list({ statusQuery: { messages: true, unseen: true } });
    told.uses = Object.fromEntries(folders.filter((one) => one.specialUse).map((one) => [one.path, one.specialUse]));
    told.subscribed = folders.filter((one) => one.subscribed).length;
    await client.mailboxCreate("Công văn");
    told.created = (await client.list()).map((one) => one.path).includes("Công văn");
    told.appended = (await client.append("INBOX", letter("một", "Nội dung"), ["\\Seen"], new Date(0))).uid;
    await client.append("INBOX", letter("hai", "Thư hai"), []);

    let lock = await client.getMailboxLock("INBOX");
    told.exists = client.mailbox.exists;
    told.knowsModseq = client.mailbox.highestModseq > 0n;
    told.mailboxId = Boolean(client.mailbox.mailboxId);
    told.messages = [];
    for await (const one of client.fetch("1:*", { uid: true, flags: true, envelope: true, bodyStructure: true, size: true })) {
        told.messages.push({
            uid: one.uid, seen: one.flags.has("\\Seen"), subject: one.envelope.subject, from: one.envelope.from[0].address,
            type: one.bodyStructure.type, parts: one.bodyStructure.childNodes.map((part) => part.type), size: one.size,
        });
    }
    const source = await client.fetchOne(1, { source: true });
    told.octets = source.source.equals(Buffer.from(letter("một", "Nội dung")));
    const part = await client.download(1, "1");
    let text = "";
    for await (const piece of part.content) text += piece;
    told.text = text;
    told.unseen = await client.search({ seen: false }, { uid: true });
    told.nothing = await client.search({ subject: "không có" });
    told.found = await client.search({ header: { subject: "hai" } });
    told.flagged = await client.messageFlagsAdd({ uid: "2" }, ["\\Flagged", "$Viec"]);
    told.changed = (await client.fetchOne("2", { flags: true, modseq: true })).modseq > 0n;
    told.copied = [...(await client.messageCopy("1", "Công văn")).uidMap];
    told.moved = [...(await client.messageMove("1", "Trash")).uidMap];
    told.deleted = await client.messageDelete({ uid: "99" }, { uid: true });

    const gone = new Promise((resolve) => client.once("exists", (event) => resolve(event.count)));
    const other = connection();
    await other.connect();
    const idling = client.idle();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await other.append("INBOX", letter("ba", "Thư ba"), []);
    told.pushed = await gone;
    lock.release();
    told.quota = (await client.getQuota("INBOX")).storage.limit;
    await idling;
    told.status = await client.status("INBOX", { messages: true, uidNext: true, unseen: true, highestModseq: true }).then((one) => ({
        messages: one.messages, uidNext: one.uidNext, unseen: one.unseen, modseq: one.highestModseq > 0n,
    }));
    await client.mailboxRename("Công văn", "Lưu/Công văn");
    await client.mailboxDelete("Lưu/Công văn");
    told.left = (await client.list()).map((one) => one.path).filter((path) => path.includes("văn"));
    await other.logout();
    await client.logout();
    return told;
}

day().then(
    (told) => console.log(JSON.stringify(told)),
    (error) => {
        console.error(error);
        process.exit(1);
    },
);
