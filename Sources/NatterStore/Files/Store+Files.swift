internal import NatterConversation
internal import NatterLog
public import NatterModel
internal import NatterSystem

extension Store {
    /// A file that a message names, for whoever may read that message.
    ///
    /// - Throws: `noSuchFile` for all others; `fileGone` if the message was deleted or erased; `damaged` if the file is not as it
    ///   was uploaded, as far as its size tells.
    public func file(_ id: FileID, for principal: Principal) throws(StoreError) -> Blob {
        guard let row = try reading({ try FileRows.row(id, on: $0.connection) }), let number = row.conversation,
            let seq = row.seq, let identity = state.withLock({ $0.conversations[number]?.identity }),
            let snapshot = try? snapshot("", id: identity.id, for: principal)
        else { throw .noSuchFile }
        guard row.state == .named, seq >= snapshot.tail.first else { throw .fileGone }
        return try read(snapshot) { reader in
            guard let record = try reader.storedBlock(containing: seq).records[seq], record.kind == .file else {
                throw StoreError.noSuchFile
            }
            let isDeleted = state.withLock { state in
                record.about.map { state.conversations[number]?.deletions.contains($0) ?? true } ?? false
            }
            if record.isErased || isDeleted { throw StoreError.fileGone }
            guard let file = FileRecord(line: record.text), file.id == id else { throw StoreError.noSuchFile }
            do throws(DiskError) { return try Blob(file, in: directory, disk: disk) } catch {
                throw StoreError.damaged(from: seq, to: seq, detail: error.phrase)
            }
        }
    }

    /// The rows that say that the files of these messages are gone.
    func files(namedBy seqs: Set<Seq>, in conversation: Int64) throws -> [Change] {
        guard let first = seqs.min(), let last = seqs.max() else { return [] }
        return try withReader { try FileRows.named(in: first...last, of: conversation, on: $0.connection) }
            .filter { $0.seq.map(seqs.contains) ?? false }.map { .fileSet($0.gone) }
    }

    /// Removes files that no message has named in a day, in the background. Call it at a start and about once an hour.
    public func dropUnusedFiles() {
        let cutoff = clock.now().advanced(milliseconds: -Limits.uploadMilliseconds)
        guard !isShared, state.withLock({ $0.files.waiting.values.contains { $0.isUnused(since: cutoff) } }) else {
            return
        }
        _ = sealer.submit { [self] _ in
            // Alone, so that no message of the same commit names one of them.
            let failure = recordAlone(room: .kept) { [self] _ in
                var decision = Decision()
                decision.changes = state.withLock { state in
                    state.files.waiting.values.filter { $0.isUnused(since: cutoff) }.map { .fileSet($0.gone) }
                }
                return decision
            }
            do {
                if let failure { throw failure }
                try wipeRetired()
            } catch {
                report("files that no message names can't be removed: \(StoreError(error))")
                stopIfDiskFailed(error)
            }
        }
    }
}

extension FileRow {
    func named(by seq: Seq, in conversation: Int64) -> FileRow {
        var row = self
        (row.state, row.conversation, row.seq) = (.named, conversation, seq)
        return row
    }

    var gone: FileRow {
        var row = self
        row.state = .gone
        return row
    }

    fileprivate func isUnused(since cutoff: Timestamp) -> Bool { state == .uploaded && time <= cutoff }
}
