/* cblas_sgemm for mlx on a Linux CPU, put in front of the reference BLAS of its wheel by LD_PRELOAD.
 *
 * Products with many rows (prompts, training) go to the OpenBLAS of the scipy-openblas32 wheel. Products of at most
 * FEW_ROWS rows (decoding: one row a sequence) read each weight once and are bound by memory; OpenBLAS packs them first,
 * which costs more than the product, so they are done here. Without OpenBLAS everything is done here.
 *
 * Threads are OpenMP's, which sleep while they wait. OpenBLAS' own wait in a loop: on cores that others use too, a product
 * then lasts many times as long as on one thread. So OpenBLAS runs with one thread (OPENBLAS_NUM_THREADS=1) and is called
 * once for each part of C.
 *
 * OPENBLAS is the path of the library, given when compiling. It is opened at the first large product and not at load,
 * so that the compilers mlx starts as its children pay nothing. */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#define THREADS omp_get_max_threads()
#else
#define THREADS 1
#endif

enum { ROW_MAJOR = 101, NO_TRANS = 111, FEW_ROWS = 16, COLUMNS = 256 };
enum { PART = 64 }; /* rows or columns of C that are worth a thread */
#define WORTH_THREADS 200000L /* multiplications; waking a thread costs about as much as this many */

typedef void (*sgemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);

static sgemm openblas;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

static void open_openblas(void) {
    void *library = dlopen(OPENBLAS, RTLD_NOW | RTLD_LOCAL);
    if (library) openblas = (sgemm)dlsym(library, "scipy_cblas_sgemm");
}

/* BLAS: with beta zero the old content is not read, for it may be NaN. */
static inline void store(float *c, float product, float beta) { *c = beta == 0.0f ? product : product + beta * *c; }

/* Rows n to n+3 of B, each a contiguous run of k: one pass over A for four columns of C. */
static void four_dots(int k, const float *a, const float *b, ptrdiff_t ldb, float *sums) {
    const float *b0 = b, *b1 = b + ldb, *b2 = b + 2 * ldb, *b3 = b + 3 * ldb;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int i = 0; i < k; i++) {
        s0 += a[i] * b0[i];
        s1 += a[i] * b1[i];
        s2 += a[i] * b2[i];
        s3 += a[i] * b3[i];
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

static float one_dot(int k, const float *a, const float *b) {
    float sum = 0;
    for (int i = 0; i < k; i++) sum += a[i] * b[i];
    return sum;
}

static void times_transposed(int m, int n, int k, const float *a, const float *b, ptrdiff_t ldb, float beta, float *c,
                             ptrdiff_t ldc) {
#pragma omp parallel for schedule(static) if ((long)m * n * k > WORTH_THREADS)
    for (int block = 0; block < (n + 3) / 4; block++) {
        int j = block * 4;
        for (int i = 0; i < m; i++) {
            float sums[4];
            int wide = n - j < 4 ? n - j : 4;
            if (wide == 4)
                four_dots(k, a + (ptrdiff_t)i * k, b + j * ldb, ldb, sums);
            else
                for (int t = 0; t < wide; t++) sums[t] = one_dot(k, a + (ptrdiff_t)i * k, b + (j + t) * ldb);
            for (int t = 0; t < wide; t++) store(c + i * ldc + j + t, sums[t], beta);
        }
    }
}

static void times_plain(int m, int n, int k, const float *a, const float *b, ptrdiff_t ldb, float beta, float *c,
                        ptrdiff_t ldc) {
#pragma omp parallel for schedule(static) if ((long)m * n * k > WORTH_THREADS)
    for (int block = 0; block < (n + COLUMNS - 1) / COLUMNS; block++) {
        int from = block * COLUMNS, wide = n - from < COLUMNS ? n - from : COLUMNS;
        float sums[FEW_ROWS][COLUMNS];
        for (int first = 0; first < m; first += FEW_ROWS) {
            int rows = m - first < FEW_ROWS ? m - first : FEW_ROWS;
            memset(sums, 0, sizeof sums);
            for (int p = 0; p < k; p++) {
                const float *row = b + p * ldb + from;
                for (int i = 0; i < rows; i++) {
                    float factor = a[(ptrdiff_t)(first + i) * k + p];
                    for (int j = 0; j < wide; j++) sums[i][j] += factor * row[j];
                }
            }
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < wide; j++) store(c + (first + i) * ldc + from + j, sums[i][j], beta);
        }
    }
}

/* C in parts, by rows or by columns, whichever there are more of. */
static void in_parts(int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                     int ldb, float beta, float *c, int ldc) {
    int by_rows = m >= n, length = by_rows ? m : n, parts = THREADS;
    if (parts > length / PART) parts = length / PART;
    if (parts < 1 || (long)m * n * k <= WORTH_THREADS) parts = 1;
#pragma omp parallel for schedule(static) num_threads(parts) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        ptrdiff_t from = (long)length * part / parts, to = (long)length * (part + 1) / parts;
        int some = (int)(to - from);
        if (by_rows)
            openblas(ROW_MAJOR, trans_a, trans_b, some, n, k, alpha, a + (trans_a == NO_TRANS ? from * lda : from), lda, b,
                     ldb, beta, c + from * ldc, ldc);
        else
            openblas(ROW_MAJOR, trans_a, trans_b, m, some, k, alpha, a, lda,
                     b + (trans_b == NO_TRANS ? from : from * ldb), ldb, beta, c + from, ldc);
    }
}

void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc) {
    if (m <= 0 || n <= 0) return;
    if (order != ROW_MAJOR) { /* the transposed product in row-major order is the same memory */
        cblas_sgemm(ROW_MAJOR, trans_b, trans_a, n, m, k, alpha, b, ldb, a, lda, beta, c, ldc);
        return;
    }
    if (m > FEW_ROWS) {
        pthread_once(&opened, open_openblas);
        if (openblas) {
            in_parts(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
            return;
        }
    }
    float *packed = malloc(sizeof(float) * (size_t)m * (size_t)(k > 0 ? k : 1));
    if (!packed) abort(); /* BLAS has no way to say that memory is out */
    for (int i = 0; i < m; i++) /* alpha * A, contiguous rows whatever its layout; alpha zero reads nothing */
        for (int p = 0; p < k; p++) {
            ptrdiff_t at = trans_a == NO_TRANS ? (ptrdiff_t)i * lda + p : (ptrdiff_t)p * lda + i;
            packed[(ptrdiff_t)i * k + p] = alpha == 0.0f ? 0.0f : alpha * a[at];
        }
    if (trans_b == NO_TRANS)
        times_plain(m, n, k, packed, b, ldb, beta, c, ldc);
    else
        times_transposed(m, n, k, packed, b, ldb, beta, c, ldc);
    free(packed);
}
