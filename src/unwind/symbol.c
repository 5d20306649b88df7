/* SPDX-License-Identifier: MIT */
/*
 * Names of addresses; see symbol.h. Files are mapped when they are first asked for, and kept; a
 * lookup is a walk through their tables, since whoever asks reports something that is rare.
 */
#include "unwind/symbol.h"

#include "base/exempt.h"
#include "base/kernel.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
    FILES_MAX = 32,   /* kept at once; the one after takes the place of the oldest */
    PATH_BYTES = 512, /* an object with a longer path has no names */
};

/* An object that is loaded. */
struct object {
    uintptr_t base; /* what the file's addresses are relative to */
    const ElfW(Phdr) * headers;
    unsigned header_count;
    char path[PATH_BYTES];
};

/* A file that is mapped, or that was found to be of no use. */
struct file {
    char path[PATH_BYTES];
    uintptr_t base;
    const unsigned char *bytes; /* NULL: of no use */
    size_t length;
    const ElfW(Sym) * symbols;
    size_t symbol_count;
    const char *names;
    size_t names_bytes;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILES_MAX]; /* under the mutex, like all below */
static unsigned file_count, file_next;

struct search {
    uintptr_t address;
    struct object *found;
};

static bool object_has(const struct dl_phdr_info *info, uintptr_t address)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];

        if (header->p_type == PT_LOAD &&
            address - (info->dlpi_addr + header->p_vaddr) < header->p_memsz)
            return true;
    }
    return false;
}

static int look_at_object(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    struct search *search = arg;
    const char *path = info->dlpi_name && info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";

    (void)bytes;
    if (!object_has(info, search->address))
        return 0;
    search->found->base = info->dlpi_addr;
    search->found->headers = info->dlpi_phdr;
    search->found->header_count = info->dlpi_phnum;
    snprintf(search->found->path, sizeof search->found->path, "%s", path);
    return 1;
}

/* "static struct object" below: they are big, and used under the mutex. */
static bool find_object(uintptr_t address, struct object *object)
{
    struct search search = { .address = address, .found = object };

    return dl_iterate_phdr(look_at_object, &search) == 1;
}

/* Whether a part of the file lies within it. */
static bool within(const struct file *file, uint64_t offset, uint64_t bytes)
{
    return offset <= file->length && bytes <= file->length - offset;
}

/* Whether this is the file that was loaded: its notes, the build's number among them, are those in
 * memory. */
static bool is_same(const struct file *file, const struct object *object)
{
    for (unsigned i = 0; i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];

        if (header->p_type == PT_NOTE &&
            (!within(file, header->p_offset, header->p_filesz) ||
             memcmp(file->bytes + header->p_offset, (const void *)(object->base + header->p_vaddr),
                    header->p_filesz) != 0))
            return false;
    }
    return true;
}

static void take_symbols(struct file *file, const ElfW(Shdr) * table, const ElfW(Shdr) * names)
{
    if (!within(file, table->sh_offset, table->sh_size) || table->sh_offset % 8 ||
        !within(file, names->sh_offset, names->sh_size) || names->sh_size == 0 ||
        file->bytes[names->sh_offset + names->sh_size - 1] != '\0')
        return;
    file->symbols = (const void *)(file->bytes + table->sh_offset);
    file->symbol_count = table->sh_size / sizeof *file->symbols;
    file->names = (const char *)file->bytes + names->sh_offset;
    file->names_bytes = names->sh_size;
}

/* .symtab, or else .dynsym. */
static void find_symbols(struct file *file)
{
    const ElfW(Ehdr) *header = (const void *)file->bytes;
    const ElfW(Shdr) * sections;

    if (file->length < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shentsize != sizeof *sections || header->e_shoff % 8 ||
        !within(file, header->e_shoff, (uint64_t)header->e_shnum * sizeof *sections))
        return;
    sections = (const void *)(file->bytes + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *table = &sections[i];

        if (table->sh_link >= header->e_shnum)
            continue;
        if (table->sh_type == SHT_SYMTAB || (table->sh_type == SHT_DYNSYM && !file->symbols))
            take_symbols(file, table, &sections[table->sh_link]);
    }
}

static void unmap(struct file *file)
{
    if (file->bytes)
        munmap((void *)file->bytes, file->length);
    *file = (struct file){ 0 };
}

static void map(struct file *file, const struct object *object)
{
    int fd = weir__kernel_openat(AT_FDCWD, object->path, O_RDONLY | O_CLOEXEC, 0);
    struct stat status;
    void *bytes = MAP_FAILED;

    if (fd < 0)
        return;
    if (weir__kernel_fstat(fd, &status) == 0 && status.st_size > 0) {
        file->length = (size_t)status.st_size;
        bytes = mmap(NULL, file->length, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    weir__kernel_close(fd);
    if (bytes == MAP_FAILED)
        return;
    file->bytes = bytes;
    if (is_same(file, object))
        find_symbols(file);
}

static struct file *file_of(const struct object *object)
{
    struct file *file;

    for (unsigned i = 0; i < file_count; i++)
        if (files[i].base == object->base && strcmp(files[i].path, object->path) == 0)
            return &files[i];
    file = &files[file_next];
    file_next = (file_next + 1) % FILES_MAX;
    file_count += file_count < FILES_MAX;
    unmap(file);
    file->base = object->base;
    memcpy(file->path, object->path, sizeof file->path);
    map(file, object);
    return file;
}

static unsigned underscores(const char *name)
{
    return (unsigned)strspn(name, "_");
}

/* Of names for one place the one with the fewest underscores before it: read, not __read. A
 * function of a known size that has the address in it wins over a label before it. */
static bool is_better(const struct file *file, const ElfW(Sym) * one, const ElfW(Sym) * other)
{
    bool sized = one->st_size != 0;

    if (!other || sized != (other->st_size != 0))
        return !other || sized;
    if (one->st_value != other->st_value)
        return one->st_value > other->st_value;
    return underscores(file->names + one->st_name) < underscores(file->names + other->st_name);
}

static bool may_have(const struct file *file, const ElfW(Sym) * symbol, uintptr_t place)
{
    unsigned type = symbol->st_info & 0xf;

    if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS || symbol->st_value > place ||
        symbol->st_name == 0 || symbol->st_name >= file->names_bytes)
        return false;
    if (type == STT_NOTYPE) /* a label in assembly; on aarch64, "$x" and the like mark code */
        return symbol->st_size == 0 && file->names[symbol->st_name] != '$';
    if (type != STT_FUNC && type != STT_GNU_IFUNC)
        return false;
    return symbol->st_size == 0 || place - symbol->st_value < symbol->st_size;
}

static const ElfW(Sym) * find_symbol(const struct file *file, uintptr_t place)
{
    const ElfW(Sym) *best = NULL;

    for (size_t i = 0; i < file->symbol_count; i++) {
        const ElfW(Sym) *symbol = &file->symbols[i];

        if (may_have(file, symbol, place) && is_better(file, symbol, best))
            best = symbol;
    }
    return best;
}

/* The object and, if there is one, the symbol. Under the mutex. */
static bool look_up(uintptr_t address, struct object *object, const char **name, uintptr_t *start)
{
    const ElfW(Sym) * symbol;
    struct file *file;

    *name = NULL;
    if (!find_object(address, object))
        return false;
    file = file_of(object);
    symbol = find_symbol(file, address - object->base);
    if (symbol) {
        *name = file->names + symbol->st_name;
        *start = object->base + symbol->st_value;
    }
    return true;
}

/* What people call the object. */
static void name_object(const struct object *object, char *text, size_t bytes)
{
    char program[PATH_BYTES];
    const char *path = object->path;
    const char *slash;
    ssize_t length;

    if (strcmp(path, "/proc/self/exe") == 0) {
        length = weir__kernel_readlinkat(AT_FDCWD, path, program, sizeof program - 1);
        if (length > 0) {
            program[length] = '\0';
            path = program;
        }
    }
    slash = strrchr(path, '/');
    snprintf(text, bytes, "%.*s", (int)bytes - 1, slash ? slash + 1 : path);
}

void weir__symbol_format(void *address, bool is_return_address, char *text, size_t bytes)
{
    uintptr_t place = (uintptr_t)address - is_return_address, start = 0;
    static struct object object;
    char object_name[64];
    const char *name;

    weir__exempt_lock(&mutex);
    if (!look_up(place, &object, &name, &start)) {
        snprintf(text, bytes, "0x%" PRIxPTR, (uintptr_t)address);
    } else {
        name_object(&object, object_name, sizeof object_name);
        if (name)
            snprintf(text, bytes, "%s+0x%" PRIxPTR " (%s)", name, (uintptr_t)address - start,
                     object_name);
        else
            snprintf(text, bytes, "0x%" PRIxPTR " (%s)", (uintptr_t)address - object.base,
                     object_name);
    }
    pthread_mutex_unlock(&mutex);
}

bool weir__symbol_name(void *address, char *text, size_t bytes)
{
    static struct object object;
    uintptr_t start;
    const char *name;

    weir__exempt_lock(&mutex);
    if (look_up((uintptr_t)address, &object, &name, &start) && name)
        snprintf(text, bytes, "%s", name);
    pthread_mutex_unlock(&mutex);
    return name != NULL;
}

void weir__symbol_print(FILE *stream, void *const *addresses, size_t count)
{
    char text[WEIR__SYMBOL_BYTES];

    for (size_t i = 0; i < count; i++) {
        weir__symbol_format(addresses[i], false, text, sizeof text);
        fprintf(stream, "    %s\n", text);
    }
}

void weir__symbol_forget(void)
{
    weir__exempt_lock(&mutex);
    for (unsigned i = 0; i < file_count; i++)
        unmap(&files[i]);
    file_count = 0;
    file_next = 0;
    pthread_mutex_unlock(&mutex);
}
