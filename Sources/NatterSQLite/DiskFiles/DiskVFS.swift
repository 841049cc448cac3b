internal import CSQLite
internal import Glibc
internal import NatterLanguage
internal import NatterSystem

/// SQLite's way to files that a `Disk` holds, so that a simulated disk has the databases and the log files, and all that is
/// done to them in one order. For one process: what connections share of a database is in this process's memory.
///
/// It does what SQLite's own way to the operating system does ("unix"), the syncs of directories included, so that what is
/// found out about one holds for the other; but a sync of a directory that fails is an error here, and passed over there.
///
/// Unchecked because SQLite's structure is a pointer; it is changed by SQLite alone, under its own lock.
final class DiskVFS: @unchecked Sendable {
    /// What SQLite knows it by.
    let name: String
    let disk: any Disk
    private let vfs: UnsafeMutablePointer<sqlite3_vfs>
    private let nameBytes: UnsafeMutablePointer<CChar>
    private let databases = Monitor<[String: Weak<SharedDatabase>]>([:])

    private struct Weak<Object: AnyObject & Sendable>: Sendable {
        weak let object: Object?
    }

    private struct Known {
        var byDisk: [ObjectIdentifier: Weak<DiskVFS>] = [:]
        var count = 0
    }

    private static let known = Monitor(Known())

    /// The one of a disk. Whoever uses it keeps it until its connection is closed.
    static func of(_ disk: any Disk & AnyObject) throws(SQLiteError) -> DiskVFS {
        try known.withLock { known throws(SQLiteError) in
            // The value keeps its disk, so no other disk can have its identity meanwhile.
            if let made = known.byDisk[ObjectIdentifier(disk)]?.object { return made }
            known.count += 1
            let made = try DiskVFS(name: "natter-disk-\(known.count)", disk: disk)
            known.byDisk[ObjectIdentifier(disk)] = Weak(object: made)
            return made
        }
    }

    private init(name: String, disk: any Disk) throws(SQLiteError) {
        guard let system = sqlite3_vfs_find(nil), let nameBytes = strdup(name) else {
            throw SQLiteError(reason: .cannotOpen, message: "SQLite has no files", path: name)
        }
        (self.name, self.disk, self.nameBytes) = (name, disk, nameBytes)
        vfs = .allocate(capacity: 1)
        // Random bytes, sleep and the time of day stay the operating system's.
        vfs.initialize(to: system.pointee)
        vfs.pointee.iVersion = 2
        vfs.pointee.pNext = nil
        vfs.pointee.zName = UnsafePointer(nameBytes)
        vfs.pointee.szOsFile = max(system.pointee.szOsFile, DiskVFSFile.recordBytes)
        vfs.pointee.xOpen = DiskVFS.open
        vfs.pointee.xDelete = DiskVFS.delete
        vfs.pointee.xAccess = DiskVFS.access
        vfs.pointee.xFullPathname = DiskVFS.fullPath
        vfs.pointee.pAppData = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_vfs_register(vfs, 0)
    }

    deinit {
        sqlite3_vfs_unregister(vfs)
        vfs.deallocate()
        free(nameBytes)
    }

    /// What all connections to a database have in common.
    ///
    /// - Parameter isNew: whether the file has just been made: another of that name is another database.
    private func database(_ path: String, isNew: Bool) -> SharedDatabase {
        databases.withLock { databases in
            if let shared = databases[path]?.object {
                if !isNew { return shared }
                shared.isReplaced = true
            }
            let shared = SharedDatabase()
            databases[path] = Weak(object: shared)
            return shared
        }
    }

    private func open(_ path: String, flags: Int32) throws(DiskError) -> DiskVFSFile {
        let isNew = try disk.information(path) == nil
        guard !isNew || flags & SQLITE_OPEN_CREATE != 0 else {
            throw DiskError(code: ENOENT, operation: "open", path: path)
        }
        let mode: OpenMode = isNew ? .create : flags & SQLITE_OPEN_READWRITE != 0 ? .readWrite : .read
        let journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL
        let file = try disk.open(path, mode)
        return DiskVFSFile(
            file: file, disk: disk,
            database: flags & SQLITE_OPEN_MAIN_DB != 0 ? database(path, isNew: isNew) : nil,
            // As "unix" does: also where it was there, since nobody may have synced its name yet.
            syncsDirectory: flags & SQLITE_OPEN_CREATE != 0 && flags & journals != 0,
            goesWithClose: flags & SQLITE_OPEN_DELETEONCLOSE != 0)
    }

    // MARK: What SQLite calls

    private static func own(_ vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> DiskVFS? {
        vfs?.pointee.pAppData.map { Unmanaged<DiskVFS>.fromOpaque($0).takeUnretainedValue() }
    }

    private static let open:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, UnsafeMutablePointer<sqlite3_file>?, Int32,
            UnsafeMutablePointer<Int32>?
        ) -> Int32 = { vfs, path, file, flags, grantedFlags in
            file?.pointee.pMethods = nil
            guard let own = own(vfs), let file else { return SQLITE_CANTOPEN }
            // Without a name it is SQLite's own scratch space: nothing of it has to last.
            guard let path else {
                guard let system = sqlite3_vfs_find(nil), let open = system.pointee.xOpen else {
                    return SQLITE_CANTOPEN
                }
                return open(system, nil, file, flags, grantedFlags)
            }
            do throws(DiskError) {
                DiskVFSFile.place(try own.open(String(cString: path), flags: flags), in: file)
                grantedFlags?.pointee = flags
                return SQLITE_OK
            } catch {
                return error.isFull ? SQLITE_FULL : SQLITE_CANTOPEN
            }
        }

    private static let delete:
        @convention(c) (UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, Int32) -> Int32 = {
            vfs, path, syncsDirectory in
            guard let own = own(vfs), let path else { return IOErrorCode.delete }
            let name = String(cString: path)
            do throws(DiskError) {
                try own.disk.remove(name)
            } catch {
                return error.isMissing ? IOErrorCode.deleteMissing : IOErrorCode.delete
            }
            guard syncsDirectory != 0 else { return SQLITE_OK }
            do throws(DiskError) {
                try own.disk.syncDirectory(Path.directory(of: name))
                return SQLITE_OK
            } catch {
                return IOErrorCode.directorySync
            }
        }

    private static let access:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, Int32, UnsafeMutablePointer<Int32>?
        ) -> Int32 = { vfs, path, _, result in
            guard let own = own(vfs), let path else { return IOErrorCode.access }
            do throws(DiskError) {
                let found = try own.disk.information(String(cString: path))
                result?.pointee = found.map { !$0.isRegular || $0.size > 0 } == true ? 1 : 0
                return SQLITE_OK
            } catch {
                return IOErrorCode.access
            }
        }

    private static let fullPath:
        @convention(c) (
            UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, Int32, UnsafeMutablePointer<CChar>?
        ) -> Int32 = { _, path, room, result in
            guard let path, let result, strlen(path) < Int(room) else { return SQLITE_CANTOPEN }
            strcpy(result, path)
            return SQLITE_OK
        }
}
